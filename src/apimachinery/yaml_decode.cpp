// YAML text -> Document, by yaml-cpp's events: aliases are expanded under a budget, depth is bounded, merge keys work.
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <map>
#include <sstream>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "conform.hpp"
#include "go_number.hpp"
#include "utf8.hpp"
#include "yaml_scalar.hpp"

namespace onebin::apimachinery {
namespace {

// Thrown out of yaml-cpp's parser, caught below.
struct Refused {
  std::string why;
  int line;
};

class Builder : public YAML::EventHandler {
 public:
  explicit Builder(const DecodeOptions& options) : options_(options) {}

  Document root;
  std::vector<std::string> duplicates;  // "line 9: key \"foo\" already set in map"

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { put(mark, Document(nullptr), anchor, false, kNode); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto it = anchors_.find(anchor);
    if (it == anchors_.end()) throw Refused{"an alias within its own anchor", mark.line};
    spend(mark, it->second.cost);
    put(mark, it->second.value, 0, false, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    put(mark, scalar(mark, tag, value), anchor, tag == "?" && value == "<<", kNode + value.size());
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, Document::array(), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, Document::object(), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    Document value;
    YAML::anchor_t anchor = 0;
    std::size_t cost_before = 0;
    bool has_key = false, merge = false;
    std::string key;
    int key_line = 0;
    std::vector<Document> merges;
  };
  struct Anchored {
    Document value;
    std::size_t cost;
  };
  // What a value takes in memory, about: kNode each, and the length of its texts.
  static constexpr std::size_t kNode = 48;
  // What aliases may add, and what may be kept for them: enough for any manifest, far too little for a bomb.
  static constexpr std::size_t kAliasCost = 8u << 20, kAnchorCost = 32u << 20;

  void spend(const YAML::Mark& mark, std::size_t cost) {
    alias_cost_ += cost;
    cost_ += cost;
    if (alias_cost_ > kAliasCost) throw Refused{"document contains excessive aliasing", mark.line};
  }
  void keep(const YAML::Mark& mark, YAML::anchor_t anchor, const Document& value, std::size_t cost) {
    anchor_cost_ += cost;
    if (anchor_cost_ > kAnchorCost) throw Refused{"document contains excessive anchoring", mark.line};
    anchors_[anchor] = {value, cost};
  }

  static Document scalar(const YAML::Mark& mark, const std::string& tag, const std::string& value) {
    std::string text = valid_utf8(value);
    if (tag == "!" || tag == "tag:yaml.org,2002:str" || tag == "!!str") return text;
    if (tag == "tag:yaml.org,2002:binary") {
      std::string plain;
      for (char c : text)
        if (c != '\n' && c != ' ') plain.push_back(c);
      auto bytes = base64_decode(plain);
      if (!bytes) throw Refused{"!!binary holds no base64", mark.line};
      return valid_utf8(*bytes);
    }
    auto resolved = resolve_plain(text);
    if (!resolved) throw Refused{"\"" + text + "\" has no form in JSON", mark.line};
    if (tag == "tag:yaml.org,2002:float" && resolved->is_number_integer()) return resolved->get<double>();
    return *resolved;
  }

  static std::string key_text(const YAML::Mark& mark, const Document& key) {
    if (key.is_string()) return key.get_ref<const std::string&>();
    if (key.is_boolean()) return key.get<bool>() ? "true" : "false";
    if (key.is_number_float()) return go_number(key.get<double>());
    if (key.is_number()) return key.dump();
    throw Refused{"a key must be a string, a number or a boolean", mark.line};
  }

  void open(const YAML::Mark& mark, Document empty, YAML::anchor_t anchor) {
    if (static_cast<int>(levels_.size()) > options_.max_depth) throw Refused{"nested deeper than " + std::to_string(options_.max_depth), mark.line};
    Level level;
    level.value = std::move(empty);
    level.anchor = anchor;
    level.cost_before = cost_;
    level.key_line = mark.line;
    levels_.push_back(std::move(level));
  }

  void close() {
    Level done = std::move(levels_.back());
    levels_.pop_back();
    for (const Document& from : done.merges)  // what is there already wins
      for (const auto& [key, value] : from.get_ref<const Document::object_t&>()) done.value.emplace(key, value);
    YAML::Mark mark;
    mark.line = done.key_line;
    if (done.anchor) keep(mark, done.anchor, done.value, cost_ - done.cost_before + kNode);
    put(mark, std::move(done.value), 0, false, kNode);
  }

  void put(const YAML::Mark& mark, Document value, YAML::anchor_t anchor, bool merge_key, std::size_t cost) {
    cost_ += cost;
    if (anchor) keep(mark, anchor, value, cost);
    if (levels_.empty()) {
      root = std::move(value);
      return;
    }
    Level& level = levels_.back();
    if (level.value.is_array()) {
      level.value.push_back(std::move(value));
      return;
    }
    if (!level.has_key) {
      level.merge = merge_key;
      level.key = merge_key ? std::string() : key_text(mark, value);
      level.key_line = mark.line;
      level.has_key = true;
      return;
    }
    level.has_key = false;
    if (level.merge) return merge(mark, level, std::move(value));
    auto [slot, fresh] = level.value.get_ref<Document::object_t&>().try_emplace(level.key);
    if (!fresh) duplicate(level);
    slot->second = std::move(value);
  }

  void merge(const YAML::Mark& mark, Level& level, Document value) {
    if (value.is_object()) value = Document::array({std::move(value)});
    if (!value.is_array()) throw Refused{"<< takes a map or a list of maps", mark.line};
    for (Document& from : value) {
      if (!from.is_object()) throw Refused{"<< takes a map or a list of maps", mark.line};
      level.merges.push_back(std::move(from));
    }
  }

  void duplicate(const Level& level) {
    if (duplicates.size() < 100) duplicates.push_back("line " + std::to_string(level.key_line + 1) + ": key \"" + level.key + "\" already set in map");
  }

  const DecodeOptions& options_;
  std::vector<Level> levels_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::size_t cost_ = 0, alias_cost_ = 0, anchor_cost_ = 0;
};

// yaml-cpp's words and upstream's. Where: upstream names the line after that of what its scanner stumbles over, and the line of
// what its parser does, counted from 0; line 0 it does not name.
enum class Stage : unsigned char { Scanner, Parser };
struct Wording {
  std::string_view ours, theirs;
  Stage stage;
};
const Wording kWordings[] = {
    {YAML::ErrorMsg::MAP_VALUE, "mapping values are not allowed in this context", Stage::Scanner},
    {YAML::ErrorMsg::MAP_KEY, "mapping keys are not allowed in this context", Stage::Scanner},
    {YAML::ErrorMsg::BLOCK_ENTRY, "block sequence entries are not allowed in this context", Stage::Scanner},
    {YAML::ErrorMsg::EOF_IN_SCALAR, "found unexpected end of stream", Stage::Scanner},
    {YAML::ErrorMsg::UNKNOWN_TOKEN, "found character that cannot start any token", Stage::Scanner},
    {YAML::ErrorMsg::TAB_IN_INDENTATION, "found a tab character where an indentation space is expected", Stage::Scanner},
    {YAML::ErrorMsg::END_OF_MAP, "did not find expected key", Stage::Parser},
    {YAML::ErrorMsg::END_OF_SEQ, "did not find expected '-' indicator", Stage::Parser},
    {YAML::ErrorMsg::END_OF_MAP_FLOW, "did not find expected ',' or '}'", Stage::Parser},
    {YAML::ErrorMsg::END_OF_SEQ_FLOW, "did not find expected ',' or ']'", Stage::Parser},
    {YAML::ErrorMsg::FLOW_END, "did not find expected node content", Stage::Parser},
};

// Whether the text up to the mark ends where a value must follow.
bool wants_value(std::string_view text, const YAML::Mark& mark) {
  if (mark.pos >= 0) text = text.substr(0, static_cast<std::size_t>(mark.pos));
  text = trim(text);
  return !text.empty() && std::string_view("[{,:").find(text.back()) != std::string_view::npos;
}

Status yaml_error(int line, const std::string& why) {
  return bad_request("yaml: " + (line > 0 ? "line " + std::to_string(line) + ": " : std::string()) + why);
}

// The name of an alias.
std::string alias_at(std::string_view text, const YAML::Mark& mark) {
  std::string_view rest = text.substr(std::min(text.size(), static_cast<std::size_t>(std::max(mark.pos, 0))));
  if (starts_with(rest, "*")) rest.remove_prefix(1);
  return std::string(rest.substr(0, rest.find_first_of(" \t\r\n,]}")));
}

Status worded(std::string_view text, const YAML::Exception& e) {
  if (starts_with(e.msg, YAML::ErrorMsg::UNKNOWN_ANCHOR)) return yaml_error(0, "unknown anchor '" + alias_at(text, e.mark) + "' referenced");
  int line = std::max(e.mark.line, 0);
  for (const auto& w : kWordings) {
    if (e.msg != w.ours) continue;
    if (w.stage == Stage::Scanner) return yaml_error(line ? line + 1 : 0, std::string(w.theirs));
    bool at_end = e.mark.pos < 0 || static_cast<std::size_t>(e.mark.pos) >= text.size();
    if (at_end) line = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + (ends_with(text, "\n") ? 0 : 1);
    bool flow = e.msg == YAML::ErrorMsg::END_OF_MAP_FLOW || e.msg == YAML::ErrorMsg::END_OF_SEQ_FLOW;
    return yaml_error(line, flow && wants_value(text, e.mark) ? "did not find expected node content" : std::string(w.theirs));
  }
  return yaml_error(line + 1, e.msg);
}

Status parse(std::string_view text, Builder& builder) {
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
  } catch (const Refused& r) {
    return yaml_error(r.line + 1, r.why);
  } catch (const YAML::Exception& e) {
    return worded(text, e);
  } catch (const std::exception& e) {  // yaml-cpp's scanner may throw the standard library's own
    return yaml_error(1, e.what());
  }
  return {};
}

}  // namespace

Result<Document> decode_yaml(std::string_view text, const TypeSchema* type, const DecodeOptions& options, DecodeReport* report) {
  if (text.size() > options.max_bytes)
    return Status(Reason::RequestEntityTooLarge, "larger than the limit of " + std::to_string(options.max_bytes) + " bytes");
  Builder builder(options);
  RETURN_IF_ERROR(parse(text, builder));
  DecodeReport own;
  if (!report) report = &own;
  if (options.validation != FieldValidation::Ignore && !builder.duplicates.empty()) {
    std::string all = "yaml: unmarshal errors:";
    for (const auto& d : builder.duplicates) all += "\n  " + d;
    report->problems.push_back(all);
  }
  // The rest is JSON's business; Strict counts what is in the report already.
  return decode_json(builder.root.dump(-1, ' ', false, Document::error_handler_t::replace), type, options, report);
}

std::vector<std::string_view> split_yaml(std::string_view text) {
  std::vector<std::string_view> out;
  auto keep = [&](std::string_view part) {
    std::string_view rest = part;
    while (!rest.empty()) {
      std::size_t n = std::min(rest.find('\n'), rest.size());
      std::string_view line = trim(rest.substr(0, n));
      rest.remove_prefix(std::min(n + 1, rest.size()));
      if (line.empty() || line[0] == '#' || line[0] == '%') continue;
      out.push_back(part);
      return;
    }
  };
  std::size_t start = 0, at = 0;
  while (at < text.size()) {
    std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    bool marker = line.substr(0, 3) == "---" && (line.size() == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r');
    std::size_t next = std::min(end + 1, text.size());
    if (marker) {
      keep(text.substr(start, at - start));
      start = trim(line.substr(3)).empty() || trim(line.substr(3))[0] == '#' ? next : at + 3;
    }
    at = next;
  }
  keep(text.substr(start));
  return out;
}

}  // namespace onebin::apimachinery
