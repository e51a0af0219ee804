// What the protobuf codecs share: a writer that fills its buffer from the back (a nested message's length is known when
// its bytes are there, so nothing is measured or moved), and the small messages of the API's value types.
#pragma once
#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/values.hpp>

#include <cstring>
#include <string>
#include <string_view>

namespace onebin::apimachinery::wire {

enum WireType : int { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Reading a field is the innermost step of every list, get and watch: inline, and with a short way for numbers of one byte, which
// nearly all are. False: malformed.
inline bool read_varint(const char*& p, const char* end, std::uint64_t& out) {
  if (p != end && static_cast<unsigned char>(*p) < 0x80) {
    out = static_cast<unsigned char>(*p++);
    return true;
  }
  out = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (p == end) return false;
    auto b = static_cast<unsigned char>(*p++);
    if (shift == 63 && b > 1) return false;
    out |= static_cast<std::uint64_t>(b & 0x7f) << shift;
    if (b < 0x80) return true;
  }
  return false;
}

struct FieldOnWire {
  std::uint32_t number;
  std::uint8_t wire_type;
  std::uint64_t varint;  // of all but kBytes; else 0
  std::string_view bytes;
};

inline bool read_field(const char*& p, const char* end, FieldOnWire& out) {
  std::uint64_t tag;
  if (!read_varint(p, end, tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return false;
  out.number = static_cast<std::uint32_t>(tag >> 3);
  out.wire_type = static_cast<std::uint8_t>(tag & 7);
  out.varint = 0;
  out.bytes = {};
  switch (out.wire_type) {
    case kBytes: {
      std::uint64_t n;
      if (!read_varint(p, end, n) || n > static_cast<std::uint64_t>(end - p)) return false;
      out.bytes = {p, static_cast<std::size_t>(n)};
      p += n;
      return true;
    }
    case kVarint: return read_varint(p, end, out.varint);
    case kFixed64:
    case kFixed32: {
      const unsigned n = out.wire_type == kFixed64 ? 8 : 4;
      if (static_cast<std::uint64_t>(end - p) < n) return false;
      for (unsigned i = 0; i < n; ++i) out.varint |= static_cast<std::uint64_t>(static_cast<unsigned char>(p[i])) << (8 * i);
      p += n;
      return true;
    }
    default: return false;  // groups: upstream's messages have none
  }
}

class BackWriter {
 public:
  std::size_t size() const { return size_; }
  std::string_view written() const { return {buffer_.data() + buffer_.size() - size_, size_}; }
  std::string take() { return std::string(written()); }
  void clear() { size_ = 0; }

  void raw(std::string_view bytes) {
    if (bytes.empty()) return;
    char* p = room(bytes.size());
    std::memcpy(p, bytes.data(), bytes.size());
  }
  void varint(std::uint64_t v) {
    char b[10];
    int n = 0;
    while (v >= 0x80) {
      b[n++] = static_cast<char>(v | 0x80);
      v >>= 7;
    }
    b[n++] = static_cast<char>(v);
    std::memcpy(room(static_cast<std::size_t>(n)), b, static_cast<std::size_t>(n));
  }
  void tag(std::uint32_t number, WireType type) { varint(static_cast<std::uint64_t>(number) << 3 | static_cast<unsigned>(type)); }
  void varint_field(std::uint32_t number, std::uint64_t v) {
    varint(v);
    tag(number, kVarint);
  }
  void bytes_field(std::uint32_t number, std::string_view bytes) {
    raw(bytes);
    varint(bytes.size());
    tag(number, kBytes);
  }
  void double_field(std::uint32_t number, double v) {
    std::uint64_t bits;
    std::memcpy(&bits, &v, 8);
    char* p = room(8);
    for (int i = 0; i < 8; ++i) p[i] = static_cast<char>(bits >> (8 * i));
    tag(number, kFixed64);
  }
  // Everything written since `mark` (a size()) is the content of a field.
  void close(std::uint32_t number, std::size_t mark) {
    varint(size_ - mark);
    tag(number, kBytes);
  }

  void time_field(std::uint32_t number, const Time& t, bool micro) {
    std::size_t mark = size_;
    if (!t.is_zero()) {
      varint_field(2, static_cast<std::uint64_t>(micro ? t.nanos() / 1000 * 1000 : 0));
      varint_field(1, static_cast<std::uint64_t>(t.unix_seconds()));
    }
    close(number, mark);
  }
  void int_or_string_field(std::uint32_t number, bool is_string, std::int32_t value, std::string_view text) {
    std::size_t mark = size_;
    bytes_field(3, text);
    varint_field(2, static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
    varint_field(1, is_string ? 1 : 0);
    close(number, mark);
  }
  // A message of one bytes field: Quantity, RawExtension, FieldsV1, JSON. `present` false: empty.
  void wrapped_field(std::uint32_t number, std::string_view bytes, bool present = true) {
    std::size_t mark = size_;
    if (present) bytes_field(1, bytes);
    close(number, mark);
  }
  void duration_field(std::uint32_t number, std::int64_t nanoseconds) {
    std::size_t mark = size_;
    varint_field(1, static_cast<std::uint64_t>(nanoseconds));
    close(number, mark);
  }

 private:
  char* room(std::size_t n) {
    if (buffer_.size() - size_ < n) grow(n);
    size_ += n;
    return buffer_.data() + (buffer_.size() - size_);
  }
  void grow(std::size_t n) {
    std::string larger(std::max<std::size_t>(1024, (size_ + n) * 2), '\0');
    std::memcpy(larger.data() + larger.size() - size_, buffer_.data() + buffer_.size() - size_, size_);
    buffer_.swap(larger);
  }
  std::string buffer_;
  std::size_t size_ = 0;
};

// Reading the value types' messages. False: malformed.
bool read_time(std::string_view message, Time& out, bool micro);
bool read_wrapped(std::string_view message, std::string_view& out, bool& present);
bool read_int_or_string(std::string_view message, bool& is_string, std::int32_t& value, std::string_view& text);
bool read_duration(std::string_view message, std::int64_t& nanoseconds);
double double_of(std::uint64_t bits);

// One entry of a map field: key and where its value is. `value` is null when it is missing.
struct MapEntry {
  std::string_view key;
  std::string_view bytes;      // of a length-delimited value
  std::uint64_t varint = 0;    // of another
  bool has_value = false;
  int wire_type = 0;
};
bool read_map_entry(std::string_view message, MapEntry& out);

// The wire type that a value of this kind has, within a list or alone.
inline WireType wire_type_of(FieldKind kind) {
  switch (kind) {
    case FieldKind::Bool: case FieldKind::Int32: case FieldKind::Int64: return kVarint;
    case FieldKind::Double: return kFixed64;
    default: return kBytes;
  }
}

// A field's cardinality on the wire: the one field of an Array-shaped message is a list there.
inline Cardinality wire_cardinality(const TypeSchema& type, const FieldSchema& f) {
  return type.shape == Shape::Array ? Cardinality::List : f.cardinality;
}

inline constexpr std::string_view kNotJson = "holds protobuf where JSON is expected";
// The form of a RawExtension's content that only a type registry could read.
inline bool is_protobuf_object(std::string_view raw) { return raw.substr(0, 4) == kProtobufMagic; }

Status malformed(std::string_view what);  // BadRequest: protobuf: ...

}  // namespace onebin::apimachinery::wire
