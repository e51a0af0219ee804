// Custom resources between the versions of their definition: by name alone (strategy None), or by a webhook that is asked with
// a ConversionReview (apiextensions.k8s.io/v1). Source: behaviour of k8s.io/apiextensions-apiserver's conversion.
//
// What is stored is of the version that was the storage version when it was written. Decoding (decode_stored) is synchronous:
// whoever reads objects that a webhook has to convert has them converted first, all in one call.
#pragma once
#include "apiserver/core.hpp"
#include "apiserver/webhook/client.hpp"

namespace onebin::apiserver {

// spec.conversion.webhook of a definition.
struct ConversionWebhook {
  WebhookTarget target;
  std::string review_version;  // the first of conversionReviewVersions that is known here; "" where none is
  explicit ConversionWebhook(const Document& webhook);
};

// Whether objects of this resource may have to be converted by a webhook.
bool converts_by_webhook(const Served& served);

// Objects of any of the definition's versions, made into `api_version`, in place; metadata changes in nothing but labels and
// annotations. Errors have upstream's texts and no reason.
async::Task<Result<void>> convert_customs(Core* core, const Served* served, std::string api_version, std::vector<Document>* objects);
async::Task<Result<Document>> convert_custom(Core* core, const Served* served, std::string api_version, Document object);

// Stored forms, made into such of the version that `served` reads; untouched where nothing is to be converted.
async::Task<Result<void>> convert_stored(Core* core, const Served* served, std::vector<Bytes>* items);
// decode_stored() of any resource, after that.
async::Task<Result<Document>> read_stored(Core* core, const Served* served, Bytes stored);

}  // namespace onebin::apiserver
