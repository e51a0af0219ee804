// Starting the shim, and small files of the run folder. Blocking.
#pragma once
#include <onebin/base/file.hpp>

#include <string>
#include <vector>

namespace onebin::engine {

// Starts a program with `directory` as working directory and `descriptor` as its descriptor 3; standard streams on
// /dev/null. Signals are as at a fresh start. Gives the pid, a child of this process.
Result<int> spawn_program(const std::vector<std::string>& args, const std::string& directory, int descriptor);

// Waits for a child's end; fine when it is nobody's child here.
void reap_child(int pid);

// By rename, without fsync: for folders that a reboot empties anyway.
Result<void> replace_file(const std::string& path, std::string_view data, int mode = 0600);

// Connected SOCK_SEQPACKET, close-on-exec, both ends non-blocking.
Result<std::pair<Fd, Fd>> packet_pair();
Result<std::pair<Fd, Fd>> make_pipe();  // read end, write end; close-on-exec, blocking
// Unix sockets by folder and name, so that the folder's path may be of any length.
Result<Fd> connect_packet(const std::string& folder, const std::string& name);
Result<Fd> listen_stream(const std::string& folder, const std::string& name);
// Accepts one connection and receives one descriptor over it; the socket is non-blocking and the peer has sent already.
Result<Fd> receive_descriptor(int listener);

// The last error that the runtime logged to a file of JSON lines; "" when there is none.
std::string runtime_error(const std::string& log_file);

}  // namespace onebin::engine
