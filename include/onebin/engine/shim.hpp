// The shim: one small process per container. `main` calls these before anything else when argv[1] is "shim" or "pause".
#pragma once

namespace onebin::engine {

int shim_main(int argc, char** argv);   // argv[0] is the program, argv[1] "shim"
int pause_main(int argc, char** argv);  // reaps and sleeps: process 1 of a PID namespace that a pod shares

}  // namespace onebin::engine
