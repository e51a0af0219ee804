#include <onebin/cmd/cmd.hpp>

#include "options.hpp"

#include <onebin/base/file.hpp>
#include <onebin/base/log.hpp>

#include <cstdio>
#include <cstring>

namespace onebin::cmd {

int run(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  // kubectl's flags are its own, --help among them.
  if (!args.empty() && args[0] == "kubectl") return run_kubectl({args.begin() + 1, args.end()});
  Result<std::vector<std::string>> expanded = expand_config(args);
  if (!expanded) {
    std::fprintf(stderr, "onebin: %s\n", expanded.status().message().c_str());
    return 2;
  }
  Parsed p = parse(std::move(*expanded));
  if (p.verb.empty()) return p.exit_code;
  LogLevel level = LogLevel::Info;
  if (parse_log_level(p.log_level, level)) set_log_level(level);
  if (p.verb == "server") return run_server(p);
  if (p.verb == "agent") return run_agent(p);
  if (p.verb == "token") return run_token(p);
  if (p.verb == "check-config") return run_check_config();
  if (p.verb == "image") return run_image(p);
  if (p.verb == "snapshot") return run_snapshot(p);
  std::printf("onebin %s (kubernetes %s)\n", ONEBIN_VERSION, ONEBIN_KUBERNETES_VERSION);
  return 0;
}

int run_token(const Parsed& p) {
  Result<std::string> token = read_file(p.data_dir + "/server/token");
  if (!token) {
    std::fprintf(stderr, "onebin: %s (is this the server's host? its folder is named by --data-dir)\n", token.status().message().c_str());
    return 1;
  }
  std::fputs(token->c_str(), stdout);
  return 0;
}

}  // namespace onebin::cmd
