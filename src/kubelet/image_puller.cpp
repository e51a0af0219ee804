#include "kubelet/image_puller.hpp"

#include <onebin/api/core_v1.hpp>
#include <onebin/async/loop.hpp>
#include <onebin/base/bytes.hpp>

#include <nlohmann/json.hpp>

namespace onebin::kubelet {
namespace {

using nlohmann::json;

// "https://index.docker.io/v1/" -> "index.docker.io/v1"
std::string registry_pattern(std::string key) {
  for (const char* scheme : {"https://", "http://"})
    if (key.starts_with(scheme)) key = key.substr(std::string_view(scheme).size());
  while (!key.empty() && key.back() == '/') key.pop_back();
  return key;
}

std::string normalized(const std::string& image) {
  auto slash = image.find('/');
  std::string host = slash == std::string::npos ? std::string() : image.substr(0, slash);
  bool has_host = host.find('.') != std::string::npos || host.find(':') != std::string::npos || host == "localhost";
  return has_host ? image : "docker.io/" + image;
}

// Each label of the host may be "*" in the pattern; a path must be a prefix.
bool pattern_matches(const std::string& pattern, const std::string& image) {
  std::string p = pattern == "index.docker.io/v1" || pattern == "index.docker.io" ? "docker.io" : pattern;
  auto cut = [](const std::string& s) {
    auto slash = s.find('/');
    return std::pair(s.substr(0, slash), slash == std::string::npos ? std::string() : s.substr(slash + 1));
  };
  auto [ph, pp] = cut(p);
  auto [ih, ip] = cut(image);
  if (!pp.empty() && pp != "v1" && pp != "v2" && ip != pp && !ip.starts_with(pp)) return false;
  auto pl = split(ph, '.'), il = split(ih, '.');
  if (pl.size() != il.size()) return false;
  for (std::size_t i = 0; i < pl.size(); ++i) {
    auto star = pl[i].find('*');
    if (star == std::string::npos ? pl[i] != il[i] : !(starts_with(il[i], pl[i].substr(0, star)) && ends_with(il[i], pl[i].substr(star + 1)))) return false;
  }
  return true;
}

std::string text_at(const json& o, const char* name) {
  auto i = o.find(name);
  return i != o.end() && i->is_string() ? i->get<std::string>() : std::string();
}

engine::RegistryCredentials credentials_from(const json& o) {
  engine::RegistryCredentials c;
  c.username = text_at(o, "username");
  c.password = text_at(o, "password");
  c.identity_token = text_at(o, "identitytoken");
  c.registry_token = text_at(o, "registrytoken");
  std::string auth = text_at(o, "auth");
  if (c.username.empty() && !auth.empty()) {
    std::string plain = base64_decode(auth).value_or("");
    auto colon = plain.find(':');
    if (colon != std::string::npos) {
      c.username = plain.substr(0, colon);
      c.password = plain.substr(colon + 1);
    }
  }
  return c;
}

bool valid_image_name(const std::string& image) {
  if (image.empty() || image.size() > 1024) return false;
  std::string name = image.substr(0, image.find('@'));
  auto slash = name.rfind('/');
  auto colon = name.find(':', slash == std::string::npos ? 0 : slash);
  std::string path = name.substr(0, colon);
  if (path.empty() || path.back() == '/' || path.find("//") != std::string::npos) return false;
  auto first_slash = path.find('/');
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    bool lower = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
    bool host = first_slash != std::string::npos && i < first_slash;
    if (!lower && !(host && ((c >= 'A' && c <= 'Z') || c == ':' || c == '[' || c == ']'))) return false;
  }
  if (colon != std::string::npos) {
    std::string tag = name.substr(colon + 1);
    if (tag.empty() || tag.size() > 128) return false;
    for (char c : tag)
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

}  // namespace

std::vector<engine::RegistryCredentials> credentials_for(const std::string& image, const std::vector<const core::Secret*>& secrets) {
  std::multimap<std::string, engine::RegistryCredentials, std::greater<>> found;  // longest pattern first
  const std::string full = normalized(image);
  for (const core::Secret* s : secrets) {
    auto data = s->data.find(".dockerconfigjson");
    bool wrapped = data != s->data.end();
    if (!wrapped) data = s->data.find(".dockercfg");
    if (data == s->data.end()) continue;
    json doc = json::parse(std::string(data->second), nullptr, false);
    const json* auths = &doc;
    if (wrapped) {
      auto i = doc.is_object() ? doc.find("auths") : doc.end();
      if (!doc.is_object() || i == doc.end()) continue;
      auths = &*i;
    }
    if (!auths->is_object()) continue;
    for (const auto& [key, value] : auths->items()) {
      std::string pattern = registry_pattern(key);
      if (value.is_object() && pattern_matches(pattern, full)) found.emplace(pattern, credentials_from(value));
    }
  }
  std::vector<engine::RegistryCredentials> out;
  for (auto& [pattern, c] : found) out.push_back(std::move(c));
  return out;
}

void ImagePuller::forget(const std::string& pod_uid) {
  const std::string prefix = pod_uid + "/";
  backoff_.forget_prefix(prefix);
  for (auto i = last_failure_.lower_bound(prefix); i != last_failure_.end() && i->first.starts_with(prefix);) i = last_failure_.erase(i);
}

async::Task<PullResult> ImagePuller::ensure(std::string pod_uid, std::string image, std::string policy,
                                            std::vector<engine::RegistryCredentials> credentials, EventFn event) {
  PullResult out;
  if (!valid_image_name(image)) {
    out.reason = "InvalidImageName";
    std::string message = "Failed to apply default image tag " + quote(image) + ": couldn't parse image name " + quote(image) + ": invalid reference format";
    event("Warning", "InspectFailed", message);
    out.image = bad_request(std::move(message));
    co_return out;
  }
  Result<engine::ImageInfo> present = engine_.image_status(image);
  if (present && policy != "Always") {
    event("Normal", "Pulled", "Container image " + quote(image) + " already present on machine");
    out.image = std::move(present);
    co_return out;
  }
  if (policy == "Never") {
    out.reason = "ErrImageNeverPull";
    std::string message = "Container image " + quote(image) + " is not present with pull policy of Never";
    event("Warning", "ErrImageNeverPull", message);
    out.image = Status(Reason::NotFound, std::move(message));
    co_return out;
  }
  const std::string key = pod_uid + "/" + image;
  Clock& clock = async::Loop::current().clock();
  if (auto last = last_failure_.find(key); last != last_failure_.end()) {
    Duration wait = backoff_.remaining(key, last->second.first, clock.wall());
    if (wait > Duration::zero()) {
      out.reason = "ImagePullBackOff";
      out.retry_after = wait;
      std::string message = "Back-off pulling image " + quote(image);
      event("Normal", "BackOff", message);
      out.image = Status(Reason::ServiceUnavailable, message + ": ErrImagePull: " + last->second.second);
      co_return out;
    }
  }
  event("Normal", "Pulling", "Pulling image " + quote(image));
  SteadyTime begin = clock.now();
  if (credentials.empty()) credentials.emplace_back();
  for (auto& c : credentials) {
    Result<engine::ImageInfo> pulled = co_await engine_.pull_image(image, std::move(c), nullptr);
    out.image = std::move(pulled);
    if (out.image || out.image.is(Reason::Cancelled)) break;
  }
  if (out.image.is(Reason::Cancelled)) co_return out;
  if (out.image) {
    last_failure_.erase(key);
    backoff_.forget(key);
    std::string took = format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(clock.now() - begin));
    event("Normal", "Pulled", "Successfully pulled image " + quote(image) + " in " + took + " (" + took + " including waiting). Image size: " +
                                  std::to_string(out.image->size) + " bytes.");
    co_return out;
  }
  WallTime now = clock.wall();
  backoff_.next(key, now, now);
  last_failure_[key] = {now, out.image.status().message()};
  out.retry_after = backoff_.remaining(key, now, now);
  out.reason = "ErrImagePull";
  event("Warning", "Failed", "Failed to pull image " + quote(image) + ": " + out.image.status().message());
  co_return out;
}

}  // namespace onebin::kubelet
