#include "apiserver/authn/jwt.hpp"

#include <onebin/base/bytes.hpp>
#include <onebin/base/pki.hpp>

#include <algorithm>

namespace onebin::apiserver {
namespace {

using apimachinery::Document;
using apimachinery::string_at;

// Far beyond any token of ours: a longer one is not worth decoding.
constexpr std::size_t kMaxToken = 16 * 1024;

struct Parts {
  std::string_view header, claims, signature, signed_part;
};

std::optional<Parts> parts_of(std::string_view token) {
  if (token.size() > kMaxToken) return std::nullopt;
  std::size_t first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  std::size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) return std::nullopt;
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1), token.substr(second + 1), token.substr(0, second)};
}

Document object_of(std::string_view encoded) {
  auto text = base64url_decode(encoded);
  if (!text) return nullptr;
  // A depth that claims never reach, so that a hostile token costs nothing.
  Document::parser_callback_t shallow = [](int depth, Document::parse_event_t, Document&) { return depth < 16; };
  Document d = Document::parse(*text, shallow, false);
  return d.is_object() ? d : Document();
}

// SHA-256 of the public key's DER, base64url: the key id that upstream gives its keys.
std::string key_id(std::string_view public_pem) {
  std::string body;
  for (const auto& line : split(public_pem, '\n'))
    if (!starts_with(line, "-----")) body.append(trim(line));
  return base64url_encode(sha256(base64_decode(body).value_or("")));
}

}  // namespace

Result<JwtKeys> JwtKeys::load(const std::vector<std::string>& pems) {
  JwtKeys out;
  for (const auto& pem : pems) {
    Key k;
    bool is_private = pem.find("PRIVATE KEY-----") != std::string::npos;
    if (is_private) {
      ASSIGN_OR_RETURN(k.public_pem, pki::public_key_of(pem));
    } else {
      k.public_pem = pem;
    }
    ASSIGN_OR_RETURN(k.algorithm, pki::jws_algorithm(k.public_pem));
    k.id = key_id(k.public_pem);
    if (is_private && out.signing_key_.empty()) {
      out.signing_key_ = pem;
      out.signing_id_ = k.id;
      out.signing_algorithm_ = k.algorithm;
    }
    out.keys_.push_back(std::move(k));
  }
  return Result<JwtKeys>(std::move(out));
}

Result<std::string> JwtKeys::sign(const Document& claims) const {
  if (!can_sign()) return internal_error("there is no key to sign tokens with");
  Document header = {{"alg", signing_algorithm_}, {"kid", signing_id_}};
  std::string text = base64url_encode(header.dump()) + "." + base64url_encode(claims.dump());
  ASSIGN_OR_RETURN(std::string signature, pki::jws_sign(signing_key_, text));
  return text + "." + base64url_encode(signature);
}

Result<Document> JwtKeys::verify(std::string_view token) const {
  Status bad(Reason::Unauthorized, "invalid bearer token");
  auto parsed = parse_token(token);
  if (!parsed) return bad;
  std::string_view id = string_at(parsed->header, "kid"), algorithm = string_at(parsed->header, "alg");
  bool known = false;
  for (const auto& k : keys_) {
    if (!id.empty() && id != k.id) continue;
    known = true;
    // The key's own algorithm counts, never the header's choice.
    if (algorithm != k.algorithm || !pki::jws_verify(k.public_pem, k.algorithm, parsed->signed_part, parsed->signature)) continue;
    return Result<Document>(std::move(parsed->claims));
  }
  return Status(Reason::Unauthorized, known ? "invalid signature" : "invalid signature, no keys found");
}

std::string JwtKeys::jwks() const {
  Document keys = Document::array();
  for (const auto& k : keys_) {
    auto members = pki::jwk_members(k.public_pem);
    if (!members) continue;
    Document d = {{"use", "sig"}, {"kid", k.id}, {"alg", k.algorithm}};
    for (auto& [name, value] : *members) d[name] = value;
    keys.push_back(std::move(d));
  }
  return Document({{"keys", std::move(keys)}}).dump();
}

std::vector<std::string> JwtKeys::algorithms() const {
  std::vector<std::string> out;
  for (const auto& k : keys_)
    if (std::find(out.begin(), out.end(), k.algorithm) == out.end()) out.push_back(k.algorithm);
  return out;
}

std::optional<ParsedToken> parse_token(std::string_view token) {
  auto parts = parts_of(token);
  if (!parts) return std::nullopt;
  auto signature = base64url_decode(parts->signature);
  ParsedToken out{object_of(parts->header), object_of(parts->claims), parts->signed_part, signature.value_or("")};
  if (out.header.is_null() || out.claims.is_null() || !signature) return std::nullopt;
  return out;
}

Document unverified_claims(std::string_view token) {
  auto parts = parts_of(token);
  return parts ? object_of(parts->claims) : Document();
}

std::vector<std::string> strings_of(const Document& d) {
  std::vector<std::string> out;
  if (d.is_string()) out.push_back(d.get<std::string>());
  if (d.is_array())
    for (const auto& e : d)
      if (e.is_string()) out.push_back(e.get<std::string>());
  return out;
}

}  // namespace onebin::apiserver
