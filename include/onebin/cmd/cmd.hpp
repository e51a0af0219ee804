// The command line: verbs and flags.
#pragma once
namespace onebin::cmd {
int run(int argc, char** argv);
}
