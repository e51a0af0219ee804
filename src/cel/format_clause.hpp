// The clauses of a format text ("%.3f"), read alike when an expression is checked and when it runs.
#pragma once
#include <string>
#include <string_view>

namespace onebin::cel {

struct FormatClause {
  char verb = 0;
  int precision = 6;
};

// Reads texts and clauses in turn. `more()` appends plain text to `out` up to the next clause; false at the end.
class FormatReader {
 public:
  explicit FormatReader(std::string_view text) : text_(text) {}
  bool more(std::string& out);
  // The clause at which `more` stopped; false with the problem.
  bool clause(FormatClause& clause, std::string& problem);

 private:
  std::string_view text_;
  std::size_t i_ = 0;
};

// What the clause says of a type that it does not take.
std::string wrong_type(char verb, std::string_view type_name);

}  // namespace onebin::cel
