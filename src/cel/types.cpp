#include <onebin/cel/schema.hpp>

#include <algorithm>

namespace onebin::cel {
namespace types {

const Type dyn{TypeKind::Dyn, "dyn", {}, nullptr};
const Type error{TypeKind::Error, "error", {}, nullptr};
const Type null{TypeKind::Null, "null_type", {}, nullptr};
const Type boolean{TypeKind::Bool, "bool", {}, nullptr};
const Type integer{TypeKind::Int, "int", {}, nullptr};
const Type uinteger{TypeKind::Uint, "uint", {}, nullptr};
const Type real{TypeKind::Double, "double", {}, nullptr};
const Type string{TypeKind::String, "string", {}, nullptr};
const Type bytes{TypeKind::Bytes, "bytes", {}, nullptr};
const Type timestamp{TypeKind::Timestamp, "google.protobuf.Timestamp", {}, nullptr};
const Type duration{TypeKind::Duration, "google.protobuf.Duration", {}, nullptr};
const Type type{TypeKind::Type, "type", {}, nullptr};
const Type list{TypeKind::List, "list", {&dyn}, nullptr};
const Type map{TypeKind::Map, "map", {&dyn, &dyn}, nullptr};
const Type optional{TypeKind::Opaque, "optional_type", {&dyn}, nullptr};
const Type quantity{TypeKind::Object, "kubernetes.Quantity", {}, nullptr};
const Type url{TypeKind::Object, "kubernetes.URL", {}, nullptr};
const Type ip{TypeKind::Opaque, "net.IP", {}, nullptr};
const Type cidr{TypeKind::Opaque, "net.CIDR", {}, nullptr};
const Type format{TypeKind::Object, "kubernetes.NamedFormat", {}, nullptr};
const Type semver{TypeKind::Object, "kubernetes.Semver", {}, nullptr};
const Type authorizer{TypeKind::Object, "kubernetes.authorization.Authorizer", {}, nullptr};
const Type path_check{TypeKind::Object, "kubernetes.authorization.PathCheck", {}, nullptr};
const Type group_check{TypeKind::Object, "kubernetes.authorization.GroupCheck", {}, nullptr};
const Type resource_check{TypeKind::Object, "kubernetes.authorization.ResourceCheck", {}, nullptr};
const Type decision{TypeKind::Object, "kubernetes.authorization.Decision", {}, nullptr};

}  // namespace types

std::string to_string(const Type& t) {
  switch (t.kind) {
    case TypeKind::Null: return "null";
    case TypeKind::Error: return "!error!";
    case TypeKind::Timestamp: return "timestamp";
    case TypeKind::Duration: return "duration";
    default: break;
  }
  if (t.params.empty()) return t.name;
  std::string out = t.name + "(";
  for (std::size_t i = 0; i < t.params.size(); ++i) out += (i ? ", " : "") + to_string(*t.params[i]);
  return out + ")";
}

bool same_type(const Type& a, const Type& b) {
  if (&a == &b) return true;
  if (a.kind != b.kind || a.name != b.name || a.params.size() != b.params.size()) return false;
  for (std::size_t i = 0; i < a.params.size(); ++i)
    if (!same_type(*a.params[i], *b.params[i])) return false;
  return true;
}

const SchemaField* Schema::field(std::string_view name) const {
  auto it = std::lower_bound(fields.begin(), fields.end(), name, [](const SchemaField& f, std::string_view n) { return f.name < n; });
  return it != fields.end() && it->name == name ? &*it : nullptr;
}
const SchemaField* Schema::escaped_field(std::string_view escaped) const {
  for (const SchemaField& f : fields)
    if (!f.escaped.empty() && f.escaped == escaped) return &f;
  return nullptr;
}

namespace {

bool is_keyword(std::string_view word) {
  static constexpr std::string_view kWords[] = {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
                                                "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

}  // namespace

bool escape(std::string_view name, std::string& out) {
  out.clear();
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  if (is_keyword(name)) return out = "__" + std::string(name) + "__", true;
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    if (c == '_' && i + 1 < name.size() && name[i + 1] == '_') out += "__underscores__", ++i;
    else if (c == '.') out += "__dot__";
    else if (c == '-') out += "__dash__";
    else if (c == '/') out += "__slash__";
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_') out += c;
    else return out.clear(), false;
  }
  return true;
}

bool unescape(std::string_view escaped, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < escaped.size();) {
    if (escaped.substr(i, 2) == "__") {
      std::size_t begin = i + 2, end = begin;
      while (end < escaped.size() && escaped[end] != '_') ++end;
      if (end > begin && escaped.substr(end, 2) == "__") {
        std::string_view word = escaped.substr(begin, end - begin);
        if (word == "underscores") out += "__";
        else if (word == "dot") out += '.';
        else if (word == "dash") out += '-';
        else if (word == "slash") out += '/';
        else if (is_keyword(word) && i == 0 && end + 2 == escaped.size()) out += word;
        else return false;
        i = end + 2;
        continue;
      }
    }
    out += escaped[i++];
  }
  return true;
}

}  // namespace onebin::cel
