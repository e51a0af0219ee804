// Compact JSON, in pieces, to the indented form that people read.
#pragma once
#include <string>
#include <string_view>

namespace onebin::apiserver {

class JsonIndenter {
 public:
  void append(std::string& out, std::string_view compact);

 private:
  int depth_ = 0;
  bool quoted_ = false, escaped_ = false;
  bool opened_ = false;  // a bracket came last: an empty pair stays on its line
};

}  // namespace onebin::apiserver
