#include <onebin/base/openssl.hpp>

#include <openssl/err.h>

namespace onebin::openssl {

std::string error(std::string_view what) {
  std::string text(what);
  unsigned long last = 0;
  while (unsigned long e = ERR_get_error()) last = e;
  if (last) {
    const char* reason = ERR_reason_error_string(last);
    text += ": ";
    text += reason ? reason : "error " + std::to_string(last);
  }
  return text;
}

}  // namespace onebin::openssl
