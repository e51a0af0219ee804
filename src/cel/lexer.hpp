// Tokens of an expression. Source: CEL.g4 of the language's reference implementations.
#pragma once
#include "cel/source.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace onebin::cel {

// In the grammar's order, in which messages name them.
enum class Token : std::uint8_t {
  End, EqualsEquals, NotEquals, In, Less, LessEquals, GreaterEquals, Greater, And, Or, LeftBracket, RightBracket, LeftBrace, RightBrace,
  LeftParen, RightParen, Dot, Comma, Minus, Not, Question, Colon, Plus, Star, Slash, Percent, True, False, Null, Float, Int, Uint,
  String, Bytes, Identifier, EscapedIdentifier,
};
inline constexpr std::uint64_t bit(Token t) { return std::uint64_t{1} << static_cast<unsigned>(t); }

struct Lexeme {
  Token token = Token::End;
  std::int32_t begin = 0, end = 0;  // characters of the source
};

// Ends with Token::End. What is no token becomes an error.
std::vector<Lexeme> tokenize(Source& source);

// "'['", "IDENTIFIER", "<EOF>"
const char* display_name(Token token);

// The contents of a literal of text or bytes, prefix and quotes included. False with the problem.
bool unquote(const Source& source, const Lexeme& lexeme, std::string& out, std::string& problem);

}  // namespace onebin::cel
