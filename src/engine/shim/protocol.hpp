// What the engine and a shim say to each other over the shim's SOCK_SEQPACKET socket: one Head and a payload per packet,
// in the machine's byte order. A newer engine drives shims of the previous version: numbers are never reused, and what
// a peer does not know it answers with Ack and ENOSYS.
#pragma once
#include <cstdint>

namespace onebin::engine::shim {

constexpr std::int32_t protocol_version = 1;
constexpr unsigned max_payload = 16384;

enum class Type : std::uint8_t {
  // Either way. a: version. The shim's answer: a version, b pid of the container's first process (0: none yet),
  // payload: when it started, nanoseconds since the epoch, as int64.
  Hello = 1,
  // To the shim.
  Kill = 2,        // a: signal, b: 0 for the container, else an exec's number
  Attach = 3,      // this connection gets Output from now on, and may send Stdin and CloseStdin
  Stdin = 4,       // payload
  CloseStdin = 5,
  Resize = 6,      // a: columns, b: rows
  ReopenLog = 7,   // answered by Ack
  Exec = 8,        // a: number (the caller's, unique), arg 1: terminal; three descriptors (none with a terminal);
                   // payload: name of the process file in the shim's folder, a zero byte, name of the console socket
  // From the shim.
  Started = 20,      // a: pid
  StartFailed = 21,  // a: exit code of the runtime; its log tells why
  Exit = 22,         // a: exit code of the container
  Output = 23,       // arg: 1 or 2; payload
  Ack = 24,          // a: the type answered, b: errno
  ExecStarted = 25,  // a: number, b: pid
  ExecFailed = 26,   // a: number, b: exit code of the runtime
  ExecExit = 27,     // a: number, b: exit code
};

struct Head {
  Type type = Type::Hello;
  std::uint8_t arg = 0;
  std::uint16_t reserved = 0;
  std::int32_t a = 0, b = 0;
};
static_assert(sizeof(Head) == 12);

// Names in the shim's folder, its working directory.
constexpr const char socket_name[] = "shim.sock";
constexpr const char console_name[] = "console.sock";
constexpr const char exit_name[] = "exit";          // "CODE SECONDS NANOSECONDS\n", written by rename
constexpr const char pid_name[] = "init.pid";
constexpr const char runtime_log_name[] = "runtime.log";
constexpr int control_fd = 3;                       // the engine's end of the first connection

}  // namespace onebin::engine::shim
