#include "engine/digest.hpp"

#include <onebin/base/bytes.hpp>

#include <openssl/evp.h>

#include <algorithm>

namespace onebin::engine {

Sha256::Sha256() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr); }
Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256::update(const char* data, std::size_t size) { EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), data, size); }

std::string Sha256::digest() {
  unsigned char out[32];
  EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), out, nullptr);
  return "sha256:" + hex_encode(std::string_view(reinterpret_cast<char*>(out), sizeof out));
}

std::string digest_of(std::string_view data) { return "sha256:" + sha256_hex(data); }

bool valid_digest(std::string_view text) {
  return text.size() == 71 && starts_with(text, "sha256:") &&
         std::all_of(text.begin() + 7, text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string digest_hex(std::string_view digest) { return std::string(digest.substr(digest.find(':') + 1)); }

}  // namespace onebin::engine
