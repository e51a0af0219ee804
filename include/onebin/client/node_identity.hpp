// How a node proves that its name is its own: names that the agent (who proves), the API server's admission and the
// certificate approver (who check) share. The identity key is made at the first join and never leaves the node.
#pragma once
#include <string>

namespace onebin::client {

// Annotations of a node's CertificateSigningRequest.
inline constexpr char kIdentityAnnotation[] = "onebin.io/node-identity";  // the public key, PEM in base64
inline constexpr char kProofAnnotation[] = "onebin.io/node-proof";        // ES256 signature over spec.request, base64url
// The Secret of kube-system that remembers a name's key, and its entry: hexadecimal SHA-256 of the public key's PEM.
inline std::string identity_secret(const std::string& node) { return node + ".node-identity.onebin"; }
inline constexpr char kIdentityHashKey[] = "publicKeyHash";

}  // namespace onebin::client
