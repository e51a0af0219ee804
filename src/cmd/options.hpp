// The flags of the verbs, parsed.
#pragma once
#include <onebin/agent/agent.hpp>
#include <onebin/agent/join.hpp>
#include <onebin/base/result.hpp>
#include <onebin/server/server.hpp>

#include <string>
#include <vector>

namespace onebin::cmd {

struct AgentOptions {
  std::string server_url, token;
  agent::Options agent;
};

struct ImageOptions {
  std::string run_dir = "/run/onebin";
  std::string action;              // ls, import, pull, export, rm
  std::vector<std::string> names;  // files to import; references otherwise
  std::string output;              // of export
};

struct SnapshotOptions {
  std::string data_dir = "/var/lib/onebin";
  std::string action, path;        // save, restore, ls
};

struct Parsed {
  std::string verb;  // server, agent, version, token, check-config, kubectl, image, snapshot; "" when parsing said all
  int exit_code = 0;
  std::string log_level = "info";
  server::Options server;
  AgentOptions agent;
  ImageOptions image;
  SnapshotOptions snapshot;
  std::string data_dir = "/var/lib/onebin";  // of token
};

// The arguments with those of --config FILE (a YAML map with the flags' names as keys) before them, so that a flag on the
// command line wins over the file, and lists add up.
Result<std::vector<std::string>> expand_config(const std::vector<std::string>& args);
// Prints help, version and errors itself.
Parsed parse(std::vector<std::string> args);

// Verbs. Each returns the exit code.
int run_server(const Parsed& parsed);
int run_agent(const Parsed& parsed);
int run_token(const Parsed& parsed);
int run_check_config();
int run_kubectl(const std::vector<std::string>& args);
int run_image(const Parsed& parsed);
int run_snapshot(const Parsed& parsed);

}  // namespace onebin::cmd
