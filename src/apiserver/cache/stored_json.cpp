#include "apiserver/cache/stored_json.hpp"

namespace onebin::apiserver {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

// After the string that begins at `i`.
std::size_t after_string(std::string_view t, std::size_t i) {
  for (++i; i < t.size(); ++i) {
    if (t[i] == '\\') ++i;
    else if (t[i] == '"') return i + 1;
  }
  return kNone;
}

// After the value that begins at `i`.
std::size_t after_value(std::string_view t, std::size_t i) {
  if (i >= t.size()) return kNone;
  if (t[i] == '"') return after_string(t, i);
  if (t[i] != '{' && t[i] != '[') {
    while (i < t.size() && t[i] != ',' && t[i] != '}' && t[i] != ']') ++i;
    return i;
  }
  int depth = 0;
  while (i < t.size()) {
    char c = t[i];
    if (c == '"') {
      i = after_string(t, i);
      if (i == kNone) return kNone;
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return i + 1;
    ++i;
  }
  return kNone;
}

// The members of a compact object, one after the other.
class Members {
 public:
  explicit Members(std::string_view object) : t_(object), at_(object.size() > 1 && object[0] == '{' ? 1 : kNone) {}
  bool next() {
    if (at_ == kNone || at_ >= t_.size() || t_[at_] != '"') return false;
    begin = at_;
    std::size_t end = after_string(t_, at_);
    if (end == kNone || end >= t_.size() || t_[end] != ':') return fail();
    name = t_.substr(at_ + 1, end - at_ - 2);
    value_begin = end + 1;
    std::size_t after = after_value(t_, value_begin);
    if (after == kNone || after >= t_.size() || (t_[after] != ',' && t_[after] != '}')) return fail();
    value = t_.substr(value_begin, after - value_begin);
    at_ = t_[after] == ',' ? after + 1 : kNone;
    whole = t_[after] == '}';
    return true;
  }
  bool failed() const { return failed_; }

  std::string_view name, value;
  std::size_t begin = 0, value_begin = 0;
  bool whole = false;  // the last member was read

 private:
  bool fail() {
    failed_ = true;
    at_ = kNone;
    return false;
  }
  std::string_view t_;
  std::size_t at_;
  bool failed_ = false;
};

}  // namespace

std::string_view json_member(std::string_view object, std::string_view name) {
  Members m(object);
  while (m.next())
    if (m.name == name) return m.value;
  return {};
}

std::string json_with_revision(std::string_view object, std::string_view revision) {
  Members top(object);
  while (top.next() && top.name != "metadata") {
  }
  if (top.name != "metadata" || top.value.empty() || top.value[0] != '{') return {};
  constexpr std::string_view kName = "resourceVersion";
  std::string member = "\"" + std::string(kName) + "\":\"" + std::string(revision) + "\"";
  std::size_t meta = top.value_begin;
  std::string out;
  out.reserve(object.size() + member.size() + 1);
  Members m(top.value);
  bool any = false;
  while (m.next()) {
    any = true;
    if (m.name < kName) continue;
    out.append(object.substr(0, meta + m.begin)).append(member);
    if (m.name == kName) out.append(object.substr(meta + m.value_begin + m.value.size()));
    else out.append(",").append(object.substr(meta + m.begin));
    return out;
  }
  if (m.failed() || (any && !m.whole) || (!any && top.value != "{}")) return {};
  std::size_t end = meta + top.value.size() - 1;  // the closing brace
  out.append(object.substr(0, end)).append(any ? "," : "").append(member).append(object.substr(end));
  return out;
}

}  // namespace onebin::apiserver
