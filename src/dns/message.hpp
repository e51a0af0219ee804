// DNS messages in wire form (RFC 1035 section 4).
#pragma once
#include <onebin/dns/zone.hpp>

#include <map>

namespace onebin::dns {

constexpr std::size_t kHeader = 12;
constexpr std::uint16_t kFlagResponse = 0x8000, kFlagAuthoritative = 0x0400, kFlagTruncated = 0x0200, kFlagRecursionDesired = 0x0100,
                        kFlagRecursionAvailable = 0x0080;

std::uint16_t get16(std::string_view m, std::size_t at);
void put16(std::string& m, std::uint16_t v);
void put32(std::string& m, std::uint32_t v);
void set16(std::string& m, std::size_t at, std::uint16_t v);

// Passes over a name that may end in a pointer; the offset after it, or npos.
std::size_t skip_name(std::string_view m, std::size_t at);

// Where a resource record lies.
struct RecordAt {
  std::size_t begin = 0, data = 0, end = 0;
  std::uint16_t type = 0, class_ = 0;
};
// All records after the questions in order (answers, authority, additional), or nothing when the message is broken.
struct Layout {
  std::size_t question_end = 0;
  std::vector<RecordAt> records;
};
std::optional<Layout> layout(std::string_view message);

// The name at an offset, decompressed, in lower case, without the last dot; empty for the root. nullopt when broken.
std::optional<std::string> read_name(std::string_view m, std::size_t at);
// A name in wire form, uncompressed. Empty when it cannot be one.
std::string wire_name(std::string_view name);

// Builds a response: header and question first, then records in the order of sections.
class Writer {
 public:
  Writer(const Question& q, std::uint16_t flags);
  enum Section { Answers = 6, Authority = 8, Additional = 10 };  // where their counters lie
  // Records are left out silently when the message would pass 64 KiB; the counters tell what is there.
  void address(Section s, const std::string& owner, const std::string& ip, std::uint32_t ttl);
  void name_record(Section s, const std::string& owner, std::uint16_t type, const std::string& target, std::uint32_t ttl);
  void srv(Section s, const std::string& owner, std::uint16_t weight, std::uint16_t port, const std::string& target, std::uint32_t ttl);
  void txt(Section s, const std::string& owner, const std::string& text, std::uint32_t ttl);
  void soa(Section s, const std::string& domain, std::uint32_t serial, std::uint32_t ttl);
  void set_rcode(std::uint8_t rcode);
  bool empty(Section s) const { return get16(message_, s) == 0; }
  std::string take() { return std::move(message_); }

 private:
  std::size_t begin(const std::string& owner, std::uint16_t type, std::uint32_t ttl);
  void end(Section s, std::size_t start, std::size_t length_at);
  void name(const std::string& n, bool compress);
  std::string message_;
  std::map<std::string, std::uint16_t> offsets_;  // names that a pointer can lead to
};

}  // namespace onebin::dns
