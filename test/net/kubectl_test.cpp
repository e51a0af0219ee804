// exec and port-forward against the real kubectl, where ONEBIN_TEST_KUBECTL names one.
#include "net/support.hpp"

#include <onebin/async/pool.hpp>
#include <onebin/net/remote_command.hpp>

#include <cstdlib>

using namespace test;

namespace {

Task<void> run_cat(Request& q, ResponseWriter& w) {
  Query query = Query::parse(q.query);
  auto options = RemoteCommandOptions::from_query(query);
  if (!options) co_return;
  auto c = co_await RemoteCommand::accept(q, w, *options);
  if (!c) co_return;
  std::string command(query.get("command"));
  if (command == "cat") (void)co_await net::copy(*(*c)->stdin_stream(), *(*c)->stdout_stream());
  if (command == "big") {
    std::string data = pattern(5 << 20);
    (void)co_await (*c)->stdout_stream()->write(data);
  }
  if (command == "fail") {
    (void)co_await (*c)->stderr_stream()->write("failing\n");
    co_await (*c)->finish_exit(7);
    co_return;
  }
  co_await (*c)->finish_exit(0);
}

Task<void> echo(PortForward::Connection c) {
  (void)co_await net::copy(*c.data, *c.data);
  (void)co_await c.data->shutdown_write();
  (void)co_await c.error->shutdown_write();
}

Task<void> forward(Request& q, ResponseWriter& w) {
  auto f = co_await PortForward::accept(q, w);
  if (!f) co_return;
  TaskGroup group;
  for (;;) {
    auto c = co_await (*f)->next();
    if (!c) break;
    group.spawn(echo(std::move(*c)));
  }
  group.cancel();
  co_await group.join();
  co_await (*f)->stop();
}

Task<void> json(ResponseWriter& w, std::string text) {
  Headers h;
  h.add("Content-Type", "application/json");
  (void)co_await w.send(200, std::move(h), text);
}

// As much of an API server as kubectl exec and port-forward ask for.
Task<void> api(Request& q, ResponseWriter& w) {
  const std::string pod = "/api/v1/namespaces/default/pods/x";
  if (q.path == "/api") return json(w, R"({"kind":"APIVersions","versions":["v1"]})");
  if (q.path == "/apis") return json(w, R"({"kind":"APIGroupList","apiVersion":"v1","groups":[]})");
  if (q.path == "/api/v1")
    return json(w, R"({"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"]}]})");
  if (q.path == pod)
    return json(w, R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"default"},"spec":{"containers":[{"name":"c","image":"i"}]},"status":{"phase":"Running"}})");
  if (q.path == pod + "/exec") return run_cat(q, w);
  if (q.path == pod + "/portforward") return forward(q, w);
  return json(w, "{}");
}

std::string sh(const std::string& command) {
  std::string out;
  FILE* p = ::popen(("exec 2>&1; " + command).c_str(), "r");
  if (!p) return out;
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, p)) > 0;) out.append(buffer, n);
  ::pclose(p);
  return out;
}

Task<void> against(std::string kubectl, bool tls, std::string environment) {
  auto server = serve([](Request& q, ResponseWriter& w) { return api(q, w); }, tls ? server_tls() : nullptr);
  std::string k = environment + " " + kubectl + " --kubeconfig=/dev/null --cache-dir=/tmp/onebin-kubectl-cache -s " +
                  (tls ? "https://" : "http://") + server->addresses()[0].to_string() + (tls ? " --insecure-skip-tls-verify --token=t" : "");
  auto run = [](std::string command) { return async::run_blocking([command] { return sh(command); }); };
  std::string echoed = co_await run("echo question | " + k + " exec -i x -- cat");
  CHECK(echoed == "question\n");
  std::string big = co_await run(k + " exec x -- big | wc -c");
  CHECK(std::atoi(big.c_str()) == 5 << 20);
  std::string through = co_await run("head -c 3000000 /dev/zero | " + k + " exec -i x -- cat | wc -c");
  CHECK(std::atoi(through.c_str()) == 3000000);
  std::string failed = co_await run(k + " exec x -- fail; echo code $?");
  CHECK(failed.find("failing") != failed.npos);
  CHECK(failed.find("code 7") != failed.npos);
  std::string forwarded = co_await run(
      k + " port-forward pod/x :80 > /tmp/onebin-pf.out & p=$!; "
      "for i in $(seq 100); do port=$(sed -n 's/^Forwarding from 127.0.0.1:\\([0-9]*\\) .*/\\1/p' /tmp/onebin-pf.out); [ -n \"$port\" ] && break; sleep 0.1; done; "
      "for n in 1 2 3; do curl -s -m 5 telnet://127.0.0.1:$port < /etc/hostname; done; kill $p; rm -f /tmp/onebin-pf.out");
  std::string hostname = *read_file("/etc/hostname");
  CHECK(forwarded.find(hostname + hostname) != forwarded.npos);
  co_await server->stop();
}

}  // namespace

TEST_CASE("kubectl exec and port-forward, WebSocket and SPDY, with and without TLS") {
  const char* kubectl = std::getenv("ONEBIN_TEST_KUBECTL");
  if (!kubectl) return;
  std::string spdy = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false";
  for (const std::string& environment : {std::string(), spdy})
    for (bool tls : {false, true}) {
      INFO((tls ? "tls " : "plain ") << environment);
      run([&] { return against(kubectl, tls, environment); });
    }
}
