// The load of test/bench/api, on one API server, the same for each side: HTTP/1.1 over TLS, a kept-alive connection a client.
//   bench_api --url U --ca FILE --cert FILE --key FILE COMMAND...
//     create configmaps|pods NAMESPACE FIRST COUNT CLIENTS   objects b-FIRST… of a fixed form; pods are on nodes node-0 … node-99
//     get RESOURCE NAMESPACE FIRST COUNT CLIENTS
//     list PATH ACCEPT TIMES                                 the whole answer, read as it comes
//     fanout NAMESPACE WATCHERS FIRST EVENTS CLIENTS RATE    watches configmaps and creates them; RATE 0: as fast as CLIENTS can
// Prints one line of JSON: seconds, count, failed, bytes, p50_ms, p99_ms. An event's latency is from before its POST to its
// arrival. Every answer but 2xx counts as failed.
#include <onebin/async/channel.hpp>
#include <onebin/async/group.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/async/timer.hpp>
#include <onebin/base/file.hpp>
#include <onebin/net/client.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

using namespace onebin;
using namespace onebin::async;

namespace {

using Client = std::unique_ptr<net::HttpClient>;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "bench_api: %s\n", what.c_str());
  std::exit(1);
}
template <class T>
T must(Result<T> r, const char* what) {
  if (!r) die(std::string(what) + ": " + r.status().to_string());
  return std::move(*r);
}

std::int64_t now_us() { return std::chrono::duration_cast<std::chrono::microseconds>(Loop::current().now().time_since_epoch()).count(); }

struct Bench {
  std::string url;
  net::TlsClientProvider tls;
  std::string resource, ns;
  long first = 0, next = 0, end = 0;
  SteadyTime began;
  long done = 0, failed = 0;
  long long bytes = 0;
  std::vector<double> latencies;  // ms
  // fan-out
  long opened = 0, wanted = 0, complete = 0, broken = 0, events = 0;
  Duration pace = Duration::zero();
  WaitQueue changed;

  Client client() const {
    net::ClientConfig c;
    c.base_url = url;
    c.tls = tls;
    c.user_agent = "bench/1 (linux)";
    c.header_timeout = 120s;
    c.connect_timeout = 60s;
    return must(net::HttpClient::create(std::move(c)), "client");
  }
};

std::string configmap(const std::string& ns, long i, std::int64_t t) {
  std::string n = std::to_string(i);
  return R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b-)" + n + R"(","namespace":")" + ns + R"(","labels":{"app":"bench","part":")" +
         std::to_string(i % 10) + R"("}},"data":{"sent":"@)" + std::to_string(t) + R"(@","greeting":"hello number )" + n +
         R"(","config.yaml":"listen: 0.0.0.0:8080\nlog:\n  level: info\n  format: json\nupstream:\n  url: http://backend.default.svc:9000\n  timeout: 30s\n  retries: 3\n"}})";
}

// What a Deployment's pod looks like after admission: two containers with resources, probes and mounts.
std::string pod(const std::string& ns, long i, std::int64_t) {
  std::string n = std::to_string(i);
  auto container = [&](const char* name, const char* image, const char* port) {
    return std::string(R"({"name":")") + name + R"(","image":")" + image + R"(","ports":[{"containerPort":)" + port +
           R"(,"name":"http","protocol":"TCP"}],"env":[{"name":"NAME","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"LEVEL","value":"info"},{"name":"INDEX","value":")" +
           n + R"("}],"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"memory":"128Mi"}},"readinessProbe":{"httpGet":{"path":"/ready","port":"http"},"periodSeconds":10},)"
               R"("volumeMounts":[{"name":"config","mountPath":"/etc/app"}],"imagePullPolicy":"IfNotPresent"})";
  };
  return R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"b-)" + n + R"(","namespace":")" + ns +
         R"(","labels":{"app":"bench","part":")" + std::to_string(i % 10) + R"(","pod-template-hash":"6d4b75cb6d"},"annotations":{"prometheus.io/scrape":"true","prometheus.io/port":"8080"}},)"
         R"("spec":{"nodeName":"node-)" + std::to_string(i % 100) + R"(","automountServiceAccountToken":false,"tolerations":[{"operator":"Exists"}],"containers":[)" +
         container("app", "registry.example/team/app:1.2.3", "8080") + "," + container("proxy", "registry.example/team/proxy:4.5.6", "9090") +
         R"(],"volumes":[{"name":"config","configMap":{"name":"app-config"}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30}})";
}

std::string collection(const Bench& b) { return "/api/v1/namespaces/" + b.ns + "/" + b.resource; }

Task<void> create(Bench* b) {
  Client c = b->client();
  auto make = b->resource == "pods" ? pod : configmap;
  while (b->next < b->end) {
    long i = b->next++;
    if (b->pace > Duration::zero()) (void)co_await sleep_until(b->began + b->pace * (i - b->first));
    net::ClientRequest q;
    q.method = "POST";
    q.target = collection(*b);
    q.headers.add("Content-Type", "application/json");
    std::int64_t t = now_us();
    q.body = make(b->ns, i, t);
    Result<net::WholeResponse> r = co_await c->fetch(std::move(q));
    if (b->wanted == 0) b->latencies.push_back(static_cast<double>(now_us() - t) / 1000);
    ++b->done;
    if (r && r->ok()) b->bytes += static_cast<long long>(r->body.size());
    else if (b->failed++ == 0) std::fprintf(stderr, "bench_api: create: %s\n", r ? r->body.c_str() : r.status().to_string().c_str());
  }
}

Task<void> get(Bench* b) {
  Client c = b->client();
  while (b->next < b->end) {
    net::ClientRequest q;
    q.target = collection(*b) + "/b-" + std::to_string(b->next++);
    std::int64_t t = now_us();
    Result<net::WholeResponse> r = co_await c->fetch(std::move(q));
    b->latencies.push_back(static_cast<double>(now_us() - t) / 1000);
    ++b->done;
    if (r && r->ok()) b->bytes += static_cast<long long>(r->body.size());
    else if (b->failed++ == 0) std::fprintf(stderr, "bench_api: get: %s\n", r ? r->body.c_str() : r.status().to_string().c_str());
  }
}

Task<void> list(Bench* b, std::string path, std::string accept, long times) {
  Client c = b->client();
  for (long i = 0; i < times; ++i) {
    net::ClientRequest q;
    q.target = path;
    q.headers.add("Accept", accept);
    std::int64_t t = now_us();
    Result<net::ClientResponsePtr> r = co_await c->request(std::move(q));
    if (!r || (*r)->status != 200) die("list: " + (r ? "status " + std::to_string((*r)->status) : r.status().to_string()));
    std::string buffer(256 * 1024, '\0');
    for (;;) {
      Result<std::size_t> n = co_await (*r)->read_some(buffer.data(), buffer.size());
      if (!n) die("list: " + n.status().to_string());
      if (*n == 0) break;
      b->bytes += static_cast<long long>(*n);
    }
    b->latencies.push_back(static_cast<double>(now_us() - t) / 1000);
    ++b->done;
  }
}

// Counts an answer's lines, one an event. Every tenth watcher also reads the times in them.
Task<void> watch(Bench* b, long index, std::string query) {
  Client c = b->client();
  net::ClientRequest q;
  q.target = collection(*b) + query;
  Result<net::ClientResponsePtr> r = co_await c->request(q);
  // A server that is busy with a thousand handshakes may let one time out.
  for (int tries = 1; tries < 5 && !r; ++tries) r = co_await c->request(q);
  ++b->opened;
  b->changed.wake_all();
  if (!r || (*r)->status != 200) die("watch: " + (r ? "status " + std::to_string((*r)->status) : r.status().to_string()));
  std::string buffer(64 * 1024, '\0'), text;
  long seen = 0;
  while (seen < b->wanted) {
    Result<std::size_t> n = co_await (*r)->read_some(buffer.data(), buffer.size());
    if (!n || *n == 0) {
      ++b->broken;
      break;
    }
    std::string_view part(buffer.data(), *n);
    b->bytes += static_cast<long long>(*n);
    long lines = std::count(part.begin(), part.end(), '\n');
    seen += lines;
    b->events += lines;
    if (index % 10) continue;
    std::int64_t now = now_us();
    text += part;
    std::size_t at = 0;
    for (std::size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      std::size_t mark = std::string_view(text).substr(at, end - at).find("\"@");
      if (mark != std::string::npos) b->latencies.push_back(static_cast<double>(now - std::atoll(text.c_str() + at + mark + 2)) / 1000);
    }
    text.erase(0, at);
  }
  ++b->complete;
  b->changed.wake_all();
}

Task<double> fanout(Bench* b, long watchers, long clients) {
  net::ClientRequest q;
  q.target = collection(*b) + "?limit=1";
  Client c = b->client();
  net::WholeResponse head = must(co_await c->fetch(std::move(q)), "list");
  std::size_t at = head.body.find("\"resourceVersion\":\"");
  std::string revision = at == std::string::npos ? "0" : std::to_string(std::atoll(head.body.c_str() + at + 19));
  TaskGroup group("fanout");
  for (long i = 0; i < watchers; ++i) {
    group.spawn(watch(b, i, "?watch=true&resourceVersion=" + revision));
    while (b->opened + 32 < i) (void)co_await b->changed.wait();
  }
  while (b->opened < watchers) (void)co_await b->changed.wait();
  std::int64_t t = now_us();
  b->began = Loop::current().now();
  TaskGroup writers("writers");
  for (long i = 0; i < clients; ++i) writers.spawn(create(b));
  co_await writers.join();
  while (b->complete < watchers) (void)co_await b->changed.wait();
  double seconds = static_cast<double>(now_us() - t) / 1e6;
  co_await group.join();
  co_return seconds;
}

using Work = Task<void> (*)(Bench*);

Task<double> spread(Bench* b, long clients, Work work) {
  std::int64_t t = now_us();
  TaskGroup group("bench");
  for (long i = 0; i < clients; ++i) group.spawn(work(b));
  co_await group.join();
  co_return static_cast<double>(now_us() - t) / 1e6;
}

double quantile(std::vector<double>& v, double q) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v[std::min(v.size() - 1, static_cast<std::size_t>(q * static_cast<double>(v.size())))];
}

Task<void> run(RealLoop* loop, Bench* b, std::vector<std::string> args) {
  const std::string& command = args[0];
  auto number = [&](std::size_t i) { return i < args.size() ? std::atol(args[i].c_str()) : 0; };
  double seconds = 0;
  if (command == "list") {
    std::int64_t t = now_us();
    co_await list(b, args.at(1), args.at(2), number(3));
    seconds = static_cast<double>(now_us() - t) / 1e6;
  } else if (command == "fanout") {
    b->resource = "configmaps";
    b->ns = args.at(1);
    b->first = b->next = number(3);
    b->end = b->next + number(4);
    b->wanted = number(4);
    if (number(6) > 0) b->pace = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(1.0 / static_cast<double>(number(6))));
    seconds = co_await fanout(b, number(2), number(5));
  } else {
    b->resource = args.at(1);
    b->ns = args.at(2);
    b->first = b->next = number(3);
    b->end = b->next + number(4);
    seconds = co_await spread(b, number(5), command == "create" ? create : get);
  }
  std::printf("{\"seconds\":%.6f,\"count\":%ld,\"events\":%ld,\"failed\":%ld,\"broken\":%ld,\"bytes\":%lld,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", seconds, b->done, b->events, b->failed,
              b->broken, b->bytes, quantile(b->latencies, 0.5), quantile(b->latencies, 0.99));
  loop->stop();
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  int at = 1;
  for (; at + 1 < argc && std::strncmp(argv[at], "--", 2) == 0; at += 2) flags[argv[at] + 2] = argv[at + 1];
  std::vector<std::string> args(argv + at, argv + argc);
  if (args.empty()) die("no command");
  net::TlsClientConfig tls;
  tls.ca_pem = must(read_file(flags["ca"]), "--ca");
  tls.certificate_pem = must(read_file(flags["cert"]), "--cert");
  tls.key_pem = must(read_file(flags["key"]), "--key");
  auto loop = RealLoop::create();
  Bench b;
  b.url = flags["url"];
  auto context = must(net::TlsClientContext::create(tls), "TLS");
  b.tls = [context] { return context; };
  TaskGroup group("bench");
  group.spawn(run(loop.get(), &b, args));
  loop->run();
  return 0;
}
