// modules: apiserver base
// Bearer tokens. The input is a whole token, or (after 'h') a header and claims to which a signature is made up, or (after
// 's') claims that are signed by our own key and changed in one byte: none of these may be accepted.
#include "apiserver/authn/jwt.hpp"

#include <onebin/base/assert.hpp>
#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

#include <cstdint>

using namespace onebin;
using namespace onebin::apiserver;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const JwtKeys keys = *JwtKeys::load({*pki::generate_key()});
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string token(text);
  if (size > 1 && data[0] == 'h') {
    auto cut = text.find('\n');
    std::string_view header = text.substr(1, cut == text.npos ? text.npos : cut - 1), claims = cut == text.npos ? std::string_view() : text.substr(cut + 1);
    token = base64url_encode(header) + "." + base64url_encode(claims) + "." + base64url_encode(std::string(64, 'x'));
  } else if (size > 3 && data[0] == 's') {
    auto claims = apimachinery::Document::object();
    claims["sub"] = std::to_string(size);
    token = *keys.sign(claims);
    ONEBIN_ASSERT(keys.verify(token));
    // The last characters of a part may hold bits that encode nothing.
    std::size_t at = (data[1] << 8 | data[2]) % token.size();
    static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bool last = at + 1 == token.size() || token[at + 1] == '.' || token[at] == '.';
    if (last || token[at] == kDigits[data[3] % 64]) return 0;
    token[at] = kDigits[data[3] % 64];
  }
  ONEBIN_ASSERT(!keys.verify(token));
  auto claims = unverified_claims(token);
  (void)apimachinery::string_at(claims, "iss");
  return 0;
}
