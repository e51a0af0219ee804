#include <onebin/base/log.hpp>
#include <onebin/base/time.hpp>

#include <atomic>
#include <cstdio>
#include <unistd.h>

namespace onebin {
namespace {
std::atomic<LogLevel> g_level{LogLevel::Info};
constexpr const char* kNames[] = {"debug", "info", "warn", "error"};

void append_value(std::string& line, std::string_view v) {
  bool plain = !v.empty();
  for (unsigned char c : v)
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) plain = false;
  if (plain) {
    line.append(v);
    return;
  }
  line.push_back('"');
  for (unsigned char c : v) {
    if (c == '"' || c == '\\') line.append({'\\', static_cast<char>(c)});
    else if (c == '\n') line.append("\\n");
    else if (c == '\t') line.append("\\t");
    else if (c < ' ' || c == 0x7f) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", c);
      line.append(hex);
    } else line.push_back(static_cast<char>(c));
  }
  line.push_back('"');
}
}  // namespace

LogField::LogField(std::string_view k, double v) : key(k) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  value = text;
}

void set_log_level(LogLevel level) { g_level = level; }
bool log_enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }
bool parse_log_level(std::string_view text, LogLevel& out) {
  for (int i = 0; i < 4; ++i)
    if (text == kNames[i]) {
      out = static_cast<LogLevel>(i);
      return true;
    }
  return false;
}

void log_message(LogLevel level, std::string_view message, LogFields fields) {
  if (!log_enabled(level)) return;
  std::string line = format_rfc3339_micro(system_clock().wall());
  line.append(" ").append(kNames[static_cast<int>(level)]).append(" ").append(message);
  for (const auto& f : fields) {
    line.append(" ").append(f.key).push_back('=');
    append_value(line, f.value);
  }
  line.push_back('\n');
  // One write, so that lines of several threads do not mix. A log that cannot be written has nobody to tell.
  [[maybe_unused]] auto n = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace onebin
