// Structured logs: a constant message and key=value fields, one line each, to stderr.
//   log_info("pod started", {{"pod", key}, {"attempt", n}});
#pragma once
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include <onebin/base/status.hpp>

namespace onebin {

enum class LogLevel { Debug, Info, Warn, Error };

struct LogField {
  std::string_view key;
  std::string value;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <std::integral T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
  LogField(std::string_view k, double v);
  LogField(std::string_view k, const Status& v) : key(k), value(v.to_string()) {}
};

using LogFields = std::initializer_list<LogField>;
void set_log_level(LogLevel level);
bool parse_log_level(std::string_view text, LogLevel& out);  // "debug" "info" "warn" "error"
bool log_enabled(LogLevel level);
void log_message(LogLevel level, std::string_view message, LogFields fields);

inline void log_debug(std::string_view m, LogFields f = {}) { if (log_enabled(LogLevel::Debug)) log_message(LogLevel::Debug, m, f); }
inline void log_info(std::string_view m, LogFields f = {}) { log_message(LogLevel::Info, m, f); }
inline void log_warn(std::string_view m, LogFields f = {}) { log_message(LogLevel::Warn, m, f); }
inline void log_error(std::string_view m, LogFields f = {}) { log_message(LogLevel::Error, m, f); }

}  // namespace onebin
