#include "storage/keys.hpp"

namespace onebin::storage {

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return "\xff";
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

KeyRange KeyRange::of(std::string_view prefix, std::string_view start_after) {
  KeyRange r{std::string(prefix), false, prefix_end(prefix)};
  if (start_after >= prefix && !start_after.empty()) {
    r.begin = start_after;
    r.after_begin = true;
  }
  return r;
}

bool has_prefix_of(std::string_view key, const std::vector<std::string>& prefixes) {
  for (const auto& p : prefixes)
    if (starts_with(key, p)) return true;
  return false;
}

bool overlaps(std::string_view prefix, const std::vector<std::string>& prefixes) {
  for (const auto& p : prefixes)
    if (starts_with(prefix, p) || starts_with(p, prefix)) return true;
  return false;
}

Status key_not_found(std::string_view key) { return not_found("keys", key); }
Status key_exists(std::string_view key) { return already_exists("keys", key); }

Status key_conflict(std::string_view key, std::int64_t expected, std::int64_t found) {
  return conflict("keys", key, "expected revision " + std::to_string(expected) + ", stored is " + std::to_string(found));
}

Status revision_expired(std::int64_t revision, std::int64_t oldest) {
  return Status(Reason::Expired, "revision " + std::to_string(revision) + " is no longer held; the oldest is " + std::to_string(oldest));
}

// The cause's type is what client-go tests for.
Status revision_too_large(std::int64_t revision, std::int64_t current) {
  StatusDetails details;
  details.causes.push_back({"ResourceVersionTooLarge", "revision lies in the future", ""});
  details.retry_after_seconds = 1;
  return Status(Reason::Timeout, "revision " + std::to_string(revision) + " lies ahead of the current " + std::to_string(current),
                std::move(details));
}

}  // namespace onebin::storage
