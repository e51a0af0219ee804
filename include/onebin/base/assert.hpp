// Assertions stay on in release; outside input never reaches one.
#pragma once
namespace onebin {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}
#define ONEBIN_ASSERT(expr) ((expr) ? (void)0 : ::onebin::assertion_failed(#expr, __FILE__, __LINE__))
