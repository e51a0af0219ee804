#include "engine/embedded_shim.hpp"

asm(".section .rodata.onebin_shim,\"a\",%progbits\n"
    ".balign 16\n"
    ".globl onebin_shim_begin\n"
    ".hidden onebin_shim_begin\n"
    "onebin_shim_begin:\n"
    ".incbin \"" ONEBIN_SHIM_FILE "\"\n"
    ".globl onebin_shim_end\n"
    ".hidden onebin_shim_end\n"
    "onebin_shim_end:\n"
    ".previous\n");

extern "C" {
__attribute__((visibility("hidden"))) extern const char onebin_shim_begin[];
__attribute__((visibility("hidden"))) extern const char onebin_shim_end[];
}

namespace onebin::engine {

std::string_view embedded_shim() { return {onebin_shim_begin, static_cast<std::size_t>(onebin_shim_end - onebin_shim_begin)}; }

}  // namespace onebin::engine
