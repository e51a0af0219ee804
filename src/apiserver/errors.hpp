// Errors as clients see them: metav1.Status in words and codes that Kubernetes' clients and tests know.
#pragma once
#include <onebin/apimachinery/document.hpp>
#include <onebin/base/status.hpp>

#include <string>
#include <string_view>

namespace onebin::apiserver {

using apimachinery::Document;

// metav1.Status of a failure. `continue_token` goes into metadata (an expired list that may be continued).
Document status_document(const Status& status, std::string_view continue_token = {});
// What a deletion answers: status Success with details.
Document success_document(std::string_view group, std::string_view resource, std::string_view name, std::string_view uid);

Status optimistic_lock_conflict(std::string_view group, std::string_view resource, std::string_view name);
Status resource_expired(std::string message);
Status forbidden(std::string_view group, std::string_view resource, std::string_view name, std::string_view why);
Status method_not_supported(std::string_view group, std::string_view resource, std::string_view action);
Status generic_not_found();            // "the server could not find the requested resource"
Status method_not_allowed();           // "the server does not allow this method on the requested resource"
Status too_large_resource_version(std::int64_t asked, std::int64_t current);
Status server_timeout(std::string_view group, std::string_view resource, std::string_view operation, int retry_after);
// What went wrong inside, in upstream's form: the text after "Internal error occurred: ", and as a cause.
Status internal_error_occurred(std::string_view what);
Status too_many_requests(std::string message, int retry_after);
// Go's words for a text that is no unsigned number, and a storage's for a resource version that is none.
std::string unsigned_error(std::string_view text);
std::string resource_version_error(std::string_view text);

}  // namespace onebin::apiserver
