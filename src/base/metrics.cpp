#include <onebin/base/metrics.hpp>

#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <variant>

namespace onebin::metrics {
namespace {

using Metric = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, std::unique_ptr<Histogram>>;
struct Family {
  std::string help;
  const char* type = "";
  std::map<std::string, Metric, std::less<>> series;
};
std::mutex g_mutex;
std::map<std::string, Family, std::less<>>& families() {
  static auto* all = new std::map<std::string, Family, std::less<>>();
  return *all;
}

template <class T, class... A>
T& get(std::string_view name, std::string_view help, const char* type, std::string_view labels, A&&... args) {
  std::lock_guard lock(g_mutex);
  auto& all = families();
  auto f = all.find(name);
  if (f == all.end()) f = all.emplace(std::string(name), Family{std::string(help), type, {}}).first;
  auto s = f->second.series.find(labels);
  if (s == f->second.series.end()) s = f->second.series.emplace(std::string(labels), std::make_unique<T>(std::forward<A>(args)...)).first;
  return *std::get<std::unique_ptr<T>>(s->second);
}

std::string number(double v) {
  if (std::isinf(v)) return "+Inf";
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", v);
  return text;
}

void line(std::string& out, std::string_view name, std::string_view labels, double value) {
  out.append(name);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.append(" ").append(number(value)).append("\n");
}

void render_histogram(std::string& out, const std::string& name, const std::string& labels, const Histogram& h) {
  std::uint64_t total = 0;
  std::string prefix = labels.empty() ? "" : labels + ",";
  for (std::size_t i = 0; i <= h.bounds().size(); ++i) {
    total += h.bucket(i);
    line(out, name + "_bucket", prefix + "le=\"" + number(i < h.bounds().size() ? h.bounds()[i] : INFINITY) + "\"", static_cast<double>(total));
  }
  line(out, name + "_sum", labels, h.sum());
  line(out, name + "_count", labels, static_cast<double>(total));
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(new std::atomic<std::uint64_t>[bounds_.size() + 1]()) {}
void Histogram::observe(double v) {
  std::size_t i = 0;
  while (i < bounds_.size() && v > bounds_[i]) ++i;
  counts_[i].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(v, std::memory_order_relaxed);
}

Counter& counter(std::string_view name, std::string_view help, std::string_view labels) { return get<Counter>(name, help, "counter", labels); }
Gauge& gauge(std::string_view name, std::string_view help, std::string_view labels) { return get<Gauge>(name, help, "gauge", labels); }
Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds, std::string_view labels) {
  return get<Histogram>(name, help, "histogram", labels, std::move(bounds));
}

std::string render() {
  std::lock_guard lock(g_mutex);
  std::string out;
  for (const auto& [name, family] : families()) {
    out.append("# HELP ").append(name).append(" ").append(family.help).append("\n# TYPE ").append(name).append(" ").append(family.type).append("\n");
    for (const auto& [labels, metric] : family.series) {
      if (auto* c = std::get_if<std::unique_ptr<Counter>>(&metric)) line(out, name, labels, (*c)->value());
      else if (auto* g = std::get_if<std::unique_ptr<Gauge>>(&metric)) line(out, name, labels, (*g)->value());
      else render_histogram(out, name, labels, *std::get<std::unique_ptr<Histogram>>(metric));
    }
  }
  return out;
}

}  // namespace onebin::metrics
