#include <onebin/cmd/cmd.hpp>
#include <onebin/engine/shim.hpp>

#include <cstring>

int main(int argc, char** argv) {
  // The shim branches off first: it lives as long as its container and must stay small.
  if (argc > 1 && std::strcmp(argv[1], "shim") == 0) return onebin::engine::shim_main(argc, argv);
  if (argc > 1 && std::strcmp(argv[1], "pause") == 0) return onebin::engine::pause_main(argc, argv);
  return onebin::cmd::run(argc, argv);
}
