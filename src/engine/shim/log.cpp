#include "engine/shim/log.hpp"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>

namespace onebin::engine::shim {
namespace {

char* digits(char* p, long value, int width) {
  for (int i = width - 1; i >= 0; --i) {
    p[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return p + width;
}

// Civil date of a day number since 1970: the C library's gmtime_r reads the time zone files.
void civil(long days, long& y, long& m, long& d) {
  days += 719468;
  long era = days / 146097;
  long doe = days - era * 146097;
  long yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  long doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  long mp = (5 * doy + 2) / 153;
  d = doy - (153 * mp + 2) / 5 + 1;
  m = mp < 10 ? mp + 3 : mp - 9;
  y = yoe + era * 400 + (m <= 2);
}

char* timestamp(char* p) {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  long y, m, d, s = now.tv_sec % 86400;
  civil(now.tv_sec / 86400, y, m, d);
  p = digits(p, y, 4); *p++ = '-';
  p = digits(p, m, 2); *p++ = '-';
  p = digits(p, d, 2); *p++ = 'T';
  p = digits(p, s / 3600, 2); *p++ = ':';
  p = digits(p, s / 60 % 60, 2); *p++ = ':';
  p = digits(p, s % 60, 2); *p++ = '.';
  p = digits(p, now.tv_nsec, 9);
  *p++ = 'Z';
  return p;
}

}  // namespace

int LogFile::open() {
  if (!path_) return 0;
  int fd = ::open(path_, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return errno;
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  return 0;
}

// A full disk loses log lines, never blocks or ends the container.
void LogFile::flush() {
  const char* p = out_;
  while (used_ > 0 && fd_ >= 0) {
    ssize_t n = ::write(fd_, p, used_);
    if (n < 0) {
      if (errno == EINTR) continue;
      break;
    }
    p += n;
    used_ -= static_cast<std::size_t>(n);
  }
  used_ = 0;
}

void LogFile::emit(int stream, char tag, const char* data, std::size_t size) {
  constexpr std::size_t overhead = 30 + 8 + 2 + 1 + 1;
  if (used_ + size + overhead > sizeof out_) flush();
  char* p = timestamp(out_ + used_);
  std::memcpy(p, stream == 1 ? " stdout " : " stderr ", 8);
  p += 8;
  *p++ = tag;
  *p++ = ' ';
  std::memcpy(p, data, size);
  p += size;
  *p++ = '\n';
  used_ = static_cast<std::size_t>(p - out_);
}

void LogFile::write(int stream, const char* data, std::size_t size) {
  if (fd_ < 0) return;
  std::size_t& held = held_[stream - 1];
  char* line = line_[stream - 1];
  while (size > 0) {
    std::size_t room = line_limit - held;
    std::size_t look = size < room ? size : room;
    auto* end = static_cast<const char*>(std::memchr(data, '\n', look));
    std::size_t take = end ? static_cast<std::size_t>(end - data) : look;
    bool whole = end != nullptr;
    if (held == 0 && (whole || take == line_limit)) {
      emit(stream, whole ? 'F' : 'P', data, take);
    } else {
      std::memcpy(line + held, data, take);
      held += take;
      if (whole || held == line_limit) {
        emit(stream, whole ? 'F' : 'P', line, held);
        held = 0;
      }
    }
    take += whole;
    data += take;
    size -= take;
  }
  flush();
}

void LogFile::finish() {
  for (int s = 1; s <= 2; ++s) {
    if (held_[s - 1] == 0) continue;
    emit(s, 'P', line_[s - 1], held_[s - 1]);
    held_[s - 1] = 0;
  }
  flush();
}

}  // namespace onebin::engine::shim
