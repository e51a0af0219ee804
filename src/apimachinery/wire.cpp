#include "wire.hpp"

namespace onebin::apimachinery {

bool ProtoReader::next() {
  if (failed_ || p_ == end_) return false;
  wire::FieldOnWire f;
  if (!wire::read_field(p_, end_, f)) {
    failed_ = true;
    return false;
  }
  number_ = f.number;
  wire_type_ = f.wire_type;
  if (f.wire_type == wire::kBytes) bytes_ = f.bytes;
  else varint_ = f.varint;
  return true;
}

void append_varint(std::string& out, std::uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}

void append_bytes_field(std::string& out, std::uint32_t number, std::string_view bytes) {
  append_varint(out, static_cast<std::uint64_t>(number) << 3 | wire::kBytes);
  append_varint(out, bytes.size());
  out.append(bytes);
}

void append_varint_field(std::string& out, std::uint32_t number, std::uint64_t value) {
  append_varint(out, static_cast<std::uint64_t>(number) << 3 | wire::kVarint);
  append_varint(out, value);
}

namespace wire {

bool read_time(std::string_view message, Time& out, bool micro) {
  out = Time();
  if (message.empty()) return true;
  std::int64_t seconds = 0, nanos = 0;
  ProtoReader r(message);
  while (r.next()) {
    if (r.number() <= 2 && r.wire_type() != kVarint) return false;
    if (r.number() == 1) seconds = static_cast<std::int64_t>(r.varint());
    if (r.number() == 2) nanos = static_cast<std::int64_t>(r.varint());
  }
  // The years 1 to 9999, which is what RFC 3339 can say.
  if (r.failed() || seconds < -62135596800 || seconds > 253402300799) return false;
  nanos = micro && nanos > 0 && nanos < 1000000000 ? nanos / 1000 * 1000 : 0;
  out = Time::from_unix(seconds, static_cast<std::int32_t>(nanos));
  return true;
}

bool read_wrapped(std::string_view message, std::string_view& out, bool& present) {
  out = {};
  present = false;
  ProtoReader r(message);
  while (r.next()) {
    if (r.number() != 1) continue;
    if (r.wire_type() != kBytes) return false;
    out = r.bytes();
    present = true;
  }
  return !r.failed();
}

bool read_int_or_string(std::string_view message, bool& is_string, std::int32_t& value, std::string_view& text) {
  is_string = false;
  value = 0;
  text = {};
  ProtoReader r(message);
  while (r.next()) {
    if (r.number() <= 3 && r.wire_type() != (r.number() == 3 ? kBytes : kVarint)) return false;
    if (r.number() == 1) is_string = r.varint() == 1;
    if (r.number() == 2) value = static_cast<std::int32_t>(r.varint());
    if (r.number() == 3) text = r.bytes();
  }
  return !r.failed();
}

bool read_duration(std::string_view message, std::int64_t& nanoseconds) {
  nanoseconds = 0;
  ProtoReader r(message);
  while (r.next()) {
    if (r.number() != 1) continue;
    if (r.wire_type() != kVarint) return false;
    nanoseconds = static_cast<std::int64_t>(r.varint());
  }
  return !r.failed();
}

double double_of(std::uint64_t bits) {
  double d;
  std::memcpy(&d, &bits, 8);
  return d;
}

bool read_map_entry(std::string_view message, MapEntry& out) {
  out = {};
  ProtoReader r(message);
  while (r.next()) {
    if (r.number() == 1) {
      if (r.wire_type() != kBytes) return false;
      out.key = r.bytes();
    } else if (r.number() == 2) {
      out.has_value = true;
      out.wire_type = r.wire_type();
      if (r.wire_type() == kBytes) out.bytes = r.bytes();
      else out.varint = r.varint();
    }
  }
  return !r.failed();
}

Status malformed(std::string_view what) { return bad_request("protobuf: " + std::string(what)); }

}  // namespace wire
}  // namespace onebin::apimachinery
