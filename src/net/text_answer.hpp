// Headers of a plain text answer. (g++ 12 cannot build a Headers from braces inside an awaited expression.)
#pragma once
#include <onebin/net/http.hpp>

namespace onebin::net {

inline Headers text_headers(bool close = false) {
  Headers h;
  h.add("Content-Type", "text/plain; charset=utf-8");
  if (close) h.add("Connection", "close");
  return h;
}

}  // namespace onebin::net
