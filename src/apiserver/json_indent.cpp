#include "apiserver/json_indent.hpp"

namespace onebin::apiserver {

void JsonIndenter::append(std::string& out, std::string_view in) {
  auto line = [&] { out.push_back('\n'); out.append(static_cast<std::size_t>(depth_) * 2, ' '); };
  for (char ch : in) {
    if (quoted_) {
      out.push_back(ch);
      if (escaped_) escaped_ = false;
      else if (ch == '\\') escaped_ = true;
      else if (ch == '"') quoted_ = false;
      continue;
    }
    bool closes = ch == '}' || ch == ']';
    if (opened_ && !closes) {
      ++depth_;
      line();
    }
    bool empty = opened_ && closes;
    opened_ = false;
    switch (ch) {
      case '"': quoted_ = true; out.push_back(ch); break;
      case '{': case '[': opened_ = true; out.push_back(ch); break;
      case '}': case ']':
        if (!empty) {
          --depth_;
          line();
        }
        out.push_back(ch);
        break;
      case ',': out.push_back(ch); line(); break;
      case ':': out.append(": "); break;
      default: out.push_back(ch);
    }
  }
}

}  // namespace onebin::apiserver
