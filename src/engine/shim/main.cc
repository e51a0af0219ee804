// The shim as a program of its own: static, no libstdc++, carried inside the engine's library and written to its root
// folder, so that a container costs a few pages, not a copy of the whole executable's.
#include <onebin/engine/shim.hpp>

#include <cstring>

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "shim") == 0) return onebin::engine::shim_main(argc, argv);
  return onebin::engine::pause_main(argc, argv);
}
