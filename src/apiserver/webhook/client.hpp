// Calling webhooks: JSON over HTTPS to a URL or to a Service. Source of the rules: WebhookClientConfig of
// admissionregistration.k8s.io/v1 and apiextensions.k8s.io/v1; errors in the words that clients know from programs in Go.
#pragma once
#include "apiserver/server_clients.hpp"

#include <string>

namespace onebin::apiserver {

// A clientConfig.
struct WebhookTarget {
  std::string base;                // "https://host[:port]"; of a Service "https://NAME.NS.svc:PORT"
  std::string path;                // "/..."
  std::string ns, service;         // "" where it is a URL's
  std::uint16_t port = 443;
  std::string ca_pem;              // "": the machine's roots
  std::string unusable;            // why nothing can be called; "" otherwise

  static WebhookTarget of(const Document& client_config);
};

// POSTs `body` and reads a JSON answer, within `limit`, which is told as the query's timeout in whole seconds where
// `tell_limit` says so. An error's message says all; its reason is Timeout where the time was over.
async::Task<Result<Document>> call_webhook(Core* core, const WebhookTarget* target, std::string body, Duration limit, bool tell_limit);

}  // namespace onebin::apiserver
