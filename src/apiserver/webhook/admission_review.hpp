// AdmissionReview (admission.k8s.io/v1 and v1beta1): what a webhook is asked, and what its answer means.
#pragma once
#include "apiserver/admission/rule_matching.hpp"

namespace onebin::apiserver {

// As a webhook sees the objects of a request: encoded, in the version that it asked for.
struct ReviewedObjects {
  std::string object = "null", old_object = "null";
};

std::string admission_review(std::string_view version, const std::string& uid, const AdmissionAttributes& a, const Match& match, const ReviewedObjects& objects);

struct AdmissionAnswer {
  bool allowed = false;
  Document result;                      // metav1.Status; null where there is none
  std::optional<std::string> patch;     // as text
  std::string patch_type;
  std::vector<std::string> warnings;
  std::map<std::string, std::string> audit_annotations;
};
// An error's message is why the answer is none to this question.
Result<AdmissionAnswer> read_admission_answer(std::string_view version, const std::string& uid, bool mutating, const Document& review);

// The refusal in upstream's words, with the code, reason, message and details that the webhook gave. `other_reason` takes a
// reason that Kubernetes does not know.
Status webhook_refusal(std::string_view webhook, const Document& result, std::string* other_reason);

}  // namespace onebin::apiserver
