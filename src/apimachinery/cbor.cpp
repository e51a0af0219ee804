// CBOR (RFC 8949) as Kubernetes' application/cbor has it: the same values as in JSON, strings and keys as byte strings,
// keys in the core deterministic order, base64 fields as bytes under tag 22. A Document stands between it and the schema,
// so what a value must be is decided where it is for JSON.
#include <onebin/apimachinery/cbor.hpp>
#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/values.hpp>
#include <onebin/base/bytes.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "conform.hpp"
#include "utf8.hpp"

namespace onebin::apimachinery {
namespace {

enum Major : unsigned { kUnsigned, kNegative, kBytes, kText, kArray, kMap, kTag, kSimple };
constexpr unsigned kTagBase64Url = 21, kTagBase64 = 22, kTagBase16 = 23;
constexpr unsigned kFalse = 20, kTrue = 21, kNull = 22, kHalf = 25, kSingle = 26, kDouble = 27, kIndefinite = 31;

void append_big_endian(std::string& out, std::uint64_t v, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(v >> shift));
}

void append_head(std::string& out, unsigned major, std::uint64_t n) {
  int bytes = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffff ? 4 : 8;
  unsigned info = bytes == 0 ? static_cast<unsigned>(n) : bytes == 1 ? 24u : bytes == 2 ? 25u : bytes == 4 ? 26u : 27u;
  out.push_back(static_cast<char>(major << 5 | info));
  append_big_endian(out, n, bytes);
}

void append_bytes(std::string& out, std::string_view text) {
  append_head(out, kBytes, text.size());
  out += text;
}

double half_value(std::uint16_t bits) {
  int exponent = bits >> 10 & 31;
  double mantissa = bits & 1023;
  double v = exponent == 0 ? std::ldexp(mantissa, -24) : exponent == 31 ? std::numeric_limits<double>::infinity() : std::ldexp(mantissa + 1024, exponent - 25);
  return bits & 0x8000 ? -v : v;
}

// The half-precision float of exactly this value, where there is one.
std::optional<std::uint16_t> as_half(float f) {
  std::uint32_t bits;
  std::memcpy(&bits, &f, 4);
  int exponent = static_cast<int>(bits >> 23 & 255) - 127 + 15;
  std::uint16_t sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  std::uint32_t mantissa = bits & 0x7fffff;
  std::uint16_t half = sign;
  if (exponent > 0 && exponent < 31) half = static_cast<std::uint16_t>(sign | exponent << 10 | mantissa >> 13);
  else if (exponent <= 0 && exponent > -11 && (bits & 0x7fffffff)) half = static_cast<std::uint16_t>(sign | (mantissa | 0x800000) >> (14 - exponent));
  return half_value(half) == static_cast<double>(f) ? std::optional(half) : std::nullopt;
}

void append_double(std::string& out, double d) {
  float f = static_cast<float>(d);
  std::uint64_t bits = 0;
  if (static_cast<double>(f) != d) {
    std::memcpy(&bits, &d, 8);
    out.push_back(static_cast<char>(kSimple << 5 | kDouble));
    return append_big_endian(out, bits, 8);
  }
  if (auto half = as_half(f)) {
    out.push_back(static_cast<char>(kSimple << 5 | kHalf));
    return append_big_endian(out, *half, 2);
  }
  std::memcpy(&bits, &f, 4);
  out.push_back(static_cast<char>(kSimple << 5 | kSingle));
  append_big_endian(out, bits, 4);
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  // A value of type `type`, null when nothing is known of it.
  void any(const Document& v, const TypeSchema* type) {
    switch (v.type()) {
      case Document::value_t::object:
        return object(v, [&](std::string_view key, const Document& m) { member(m, key, type); });
      case Document::value_t::array:
        append_head(out_, kArray, v.size());
        for (const Document& e : v) element(e, type);
        return;
      case Document::value_t::string: return append_bytes(out_, v.get_ref<const std::string&>());
      case Document::value_t::boolean: return simple(v.get<bool>() ? kTrue : kFalse);
      case Document::value_t::number_unsigned: {
        auto n = v.get<std::uint64_t>();
        if (n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return append_double(out_, static_cast<double>(n));
        return append_head(out_, kUnsigned, n);
      }
      case Document::value_t::number_integer: {
        auto n = v.get<std::int64_t>();
        return n < 0 ? append_head(out_, kNegative, ~static_cast<std::uint64_t>(n)) : append_head(out_, kUnsigned, static_cast<std::uint64_t>(n));
      }
      case Document::value_t::number_float: return append_double(out_, v.get<double>());
      default: return simple(kNull);
    }
  }

 private:
  void simple(unsigned value) { out_.push_back(static_cast<char>(kSimple << 5 | value)); }

  // Shorter keys come first: the length is the head of the encoded key, by whose bytes they are ordered.
  template <class Put>
  void object(const Document& v, Put put) {
    std::vector<std::pair<std::string_view, const Document*>> members;
    members.reserve(v.size());
    for (const auto& [key, m] : v.get_ref<const Document::object_t&>()) members.emplace_back(key, &m);
    std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
      return a.first.size() != b.first.size() ? a.first.size() < b.first.size() : a.first < b.first;
    });
    append_head(out_, kMap, members.size());
    for (const auto& [key, m] : members) {
      append_bytes(out_, key);
      put(key, *m);
    }
  }

  void member(const Document& v, std::string_view key, const TypeSchema* type) {
    if (!type) return any(v, nullptr);
    if (type->shape == Shape::Map) return value(v, type->fields[0]);
    if (type->shape != Shape::Object) type = schema_of(*type);  // the schema itself, where it may also be something else
    const FieldSchema* f = type ? type->field(key) : nullptr;
    if (!f) return any(v, nullptr);
    if (f->is_list() && v.is_array()) {
      append_head(out_, kArray, v.size());
      for (const Document& e : v) value(e, *f);
    } else if (f->is_map() && v.is_object()) {
      object(v, [&](std::string_view, const Document& m) { value(m, *f); });
    } else {
      value(v, *f);
    }
  }
  static const TypeSchema* schema_of(const TypeSchema& either) {
    for (const FieldSchema& f : either.fields)
      if (f.is_message() && !f.is_list()) return f.message;
    return nullptr;
  }
  void element(const Document& v, const TypeSchema* type) {
    if (type && type->shape == Shape::Array) return value(v, type->fields[0]);
    any(v, type && type->shape != Shape::Object ? schema_of(*type) : nullptr);
  }

  void value(const Document& v, const FieldSchema& f) {
    if (f.kind == FieldKind::Bytes && v.is_string()) {
      if (auto raw = base64_decode(v.get_ref<const std::string&>())) {
        append_head(out_, kTag, kTagBase64);
        return append_bytes(out_, *raw);
      }
    }
    if (f.kind == FieldKind::Double && v.is_number()) return append_double(out_, v.get<double>());
    any(v, f.message);
  }

  std::string& out_;
};

class Reader {
 public:
  Reader(std::string_view bytes, int max_depth) : begin_(bytes.data()), p_(begin_), end_(p_ + bytes.size()), max_depth_(max_depth) {}

  Status read(Document& out) {
    if (!value(out, 0)) return error_;
    if (p_ != end_) (void)fail(std::to_string(end_ - p_) + " bytes of extraneous data starting at index " + std::to_string(p_ - begin_));
    return error_;
  }

 private:
  struct Head {
    unsigned major = 0, info = 0;
    std::uint64_t n = 0;
    bool indefinite() const { return info == kIndefinite; }
  };

  bool fail(std::string why) {
    if (error_) error_ = bad_request("cbor: " + std::move(why));
    return false;
  }
  std::size_t left() const { return static_cast<std::size_t>(end_ - p_); }

  bool head(Head& h) {
    if (p_ == end_) return fail("unexpected EOF");
    auto first = static_cast<unsigned char>(*p_++);
    h.major = first >> 5;
    h.info = first & 31;
    h.n = h.info;
    if (h.info < 24 || h.info == kIndefinite) return true;
    if (h.info > 27) return fail("invalid additional information " + std::to_string(h.info) + " for type " + std::to_string(h.major));
    std::size_t bytes = std::size_t{1} << (h.info - 24);
    if (left() < bytes) return fail("unexpected EOF");
    h.n = 0;
    for (std::size_t i = 0; i < bytes; ++i) h.n = h.n << 8 | static_cast<unsigned char>(*p_++);
    return true;
  }
  // True, and taken, when the break of an indefinite item comes next.
  bool at_break() {
    if (p_ == end_ || static_cast<unsigned char>(*p_) != 0xff) return false;
    ++p_;
    return true;
  }

  bool value(Document& out, int depth) {
    if (depth > max_depth_) return fail("exceeded max nested level " + std::to_string(max_depth_));
    Head h;
    if (!head(h)) return false;
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    switch (h.major) {
      case kUnsigned:
      case kNegative:
        if (h.indefinite()) return fail("an integer has no indefinite length");
        if (h.n > kMost) return fail("cannot unmarshal an integer that overflows Go's int64");
        if (h.major == kUnsigned) out = static_cast<std::int64_t>(h.n);
        else out = -1 - static_cast<std::int64_t>(h.n);
        return true;
      case kBytes:
      case kText: {
        std::string text;
        if (!string(h, text)) return false;
        out = std::move(text);
        return true;
      }
      case kArray: return array(h, out, depth);
      case kMap: return map(h, out, depth);
      case kTag: return tagged(h, out, depth);
      default: return simple(h, out);
    }
  }

  bool chunk(const Head& h, std::string& out) {
    if (h.n > left()) return fail("unexpected EOF");
    std::string_view bytes(p_, static_cast<std::size_t>(h.n));
    p_ += h.n;
    if (h.major == kText)
      for (std::string_view rest = bytes; !rest.empty();) {
        std::size_t n = utf8_length(rest);
        if (n == 0) return fail("invalid UTF-8 string");
        rest.remove_prefix(n);
      }
    out += bytes;
    return true;
  }
  // Byte strings become text as they are; what is no UTF-8 in them is replaced, as in JSON.
  bool string(const Head& h, std::string& out, bool raw = false) {
    if (!h.indefinite()) {
      if (!chunk(h, out)) return false;
    } else {
      while (!at_break()) {
        Head part;
        if (!head(part)) return false;
        if (part.major != h.major || part.indefinite()) return fail("wrong element of an indefinite-length string");
        if (!chunk(part, out)) return false;
      }
    }
    if (h.major == kBytes && !raw) out = valid_utf8(out);
    return true;
  }

  bool array(const Head& h, Document& out, int depth) {
    if (!h.indefinite() && h.n > left()) return fail("unexpected EOF");
    out = Document::array();
    for (std::uint64_t i = 0; h.indefinite() ? !at_break() : i < h.n; ++i) {
      out.push_back(nullptr);
      if (!value(out.back(), depth + 1)) return false;
    }
    return true;
  }

  bool map(const Head& h, Document& out, int depth) {
    if (!h.indefinite() && h.n > left() / 2) return fail("unexpected EOF");
    out = Document::object();
    auto& members = out.get_ref<Document::object_t&>();
    for (std::uint64_t i = 0; h.indefinite() ? !at_break() : i < h.n; ++i) {
      Head k;
      if (!head(k)) return false;
      if (k.major != kBytes && k.major != kText) return fail("a map's key must be a string");
      std::string key;
      if (!string(k, key)) return false;
      auto [slot, fresh] = members.try_emplace(std::move(key));
      if (!fresh) return fail("found duplicate map key \"" + slot->first + "\" at map element index " + std::to_string(i));
      if (!value(slot->second, depth + 1)) return false;
    }
    return true;
  }

  bool tagged(const Head& h, Document& out, int depth) {
    if (h.indefinite()) return fail("a tag has no indefinite length");
    if (h.n == 2 || h.n == 3) return fail("bignum tags are forbidden");
    if (h.n >= kTagBase64Url && h.n <= kTagBase16 && p_ != end_ && static_cast<unsigned char>(*p_) >> 5 == kBytes) {
      Head bytes;
      std::string raw;
      if (!head(bytes) || !string(bytes, raw, true)) return false;
      out = h.n == kTagBase64 ? base64_encode(raw) : h.n == kTagBase64Url ? base64url_encode(raw) : hex_encode(raw);
      return true;
    }
    if (!value(out, depth + 1)) return false;
    if (h.n == 0 && !(out.is_string() && Time::parse(out.get_ref<const std::string&>()))) return fail("cannot set a time from what is tagged as one");
    if (h.n == 1) return epoch(out);
    return true;
  }
  bool epoch(Document& out) {
    constexpr double kFirst = -62135596800, kLast = 253402300799;  // the years 1 to 9999
    if (!out.is_number() || !(out.get<double>() >= kFirst && out.get<double>() <= kLast)) return fail("cannot set a time from what is tagged as one");
    double whole = std::floor(out.get<double>());
    out = Time::from_unix(static_cast<std::int64_t>(whole), static_cast<std::int32_t>((out.get<double>() - whole) * 1e9)).to_string();
    return true;
  }

  bool simple(const Head& h, Document& out) {
    double d = 0;
    switch (h.info) {
      case kFalse: out = false; return true;
      case kTrue: out = true; return true;
      case kNull: out = nullptr; return true;
      case kHalf: d = half_value(static_cast<std::uint16_t>(h.n)); break;
      case kSingle: {
        auto bits = static_cast<std::uint32_t>(h.n);
        float f;
        std::memcpy(&f, &bits, 4);
        d = static_cast<double>(f);
        break;
      }
      case kDouble: std::memcpy(&d, &h.n, 8); break;
      default: return fail(h.indefinite() ? "unexpected \"break\" code" : "simple value " + std::to_string(h.n) + " is not recognized");
    }
    if (!std::isfinite(d)) return fail("floating-point NaN and infinity are forbidden");
    out = d;
    return true;
  }

  const char* begin_;
  const char* p_;
  const char* end_;
  int max_depth_;
  Status error_;
};

}  // namespace

Result<Document> decode_cbor(std::string_view bytes, const TypeSchema* type, const DecodeOptions& options, DecodeReport* report) {
  if (bytes.size() > options.max_bytes)
    return Status(Reason::RequestEntityTooLarge, "larger than the limit of " + std::to_string(options.max_bytes) + " bytes");
  Document root;
  RETURN_IF_ERROR(Reader(bytes, options.max_depth).read(root));
  if (!type) return root;
  return decode_json(root.dump(-1, ' ', false, Document::error_handler_t::replace), type, options, report);
}

Status append_cbor_from_json(std::string& out, std::string_view json, const TypeSchema* type) {
  Document value;
  ASSIGN_OR_RETURN(value, decode_json(json, nullptr, {.typed = false, .max_depth = 1000}));
  Writer(out).any(value, type);
  return {};
}

Result<std::string> encode_cbor(const Document& object, const TypeSchema* type) {
  std::string out(kCborMagic);
  RETURN_IF_ERROR(append_cbor_from_json(out, encode_json(object, type), type));
  return out;
}

std::string cbor_list_head(std::string_view kind, std::size_t items) {
  std::string out(kCborMagic);
  append_head(out, kMap, 4);
  append_bytes(out, "kind");
  append_bytes(out, kind);
  append_bytes(out, "items");
  append_head(out, kArray, items);
  return out;
}

std::string cbor_list_tail(std::string_view api_version, const ListMetaFields& meta) {
  Document m = Document::object();
  if (!meta.resource_version.empty()) m["resourceVersion"] = meta.resource_version;
  if (!meta.continue_token.empty()) m["continue"] = meta.continue_token;
  if (meta.remaining_item_count) m["remainingItemCount"] = *meta.remaining_item_count;
  std::string out;
  append_bytes(out, "metadata");
  Writer(out).any(m, nullptr);
  append_bytes(out, "apiVersion");
  append_bytes(out, api_version);
  return out;
}

void append_cbor_watch_event(std::string& out, std::string_view type, std::string_view object_cbor) {
  out += kCborMagic;
  append_head(out, kMap, 2);
  append_bytes(out, "type");
  append_bytes(out, type);
  append_bytes(out, "object");
  out += object_cbor;
}

}  // namespace onebin::apimachinery
