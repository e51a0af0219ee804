// modules: apiserver
// What webhooks and aggregated API servers answer: admission reviews, and OpenAPI documents that are put into ours.
#include "apiserver/aggregator/openapi_merge.hpp"
#include "apiserver/webhook/admission_review.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/base/assert.hpp>

#include <cstdint>

using namespace onebin;
using namespace onebin::apiserver;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  auto review = apimachinery::decode_json(text, nullptr);
  if (!review) return 0;
  for (const char* version : {"v1", "v1beta1"})
    for (bool mutating : {false, true}) {
      auto answer = read_admission_answer(version, "u", mutating, *review);
      if (!answer) continue;
      std::string reason;
      Status s = webhook_refusal("w", answer->result, &reason);
      ONEBIN_ASSERT(!s.is_ok() && s.code() >= 400);
    }
  std::string merged = merge_openapi_v2(R"({"swagger":"2.0","paths":{"/a":{}},"definitions":{"b":{}}})", {{"/apis/g/v1", std::make_shared<const std::string>(text)}});
  ONEBIN_ASSERT(!Document::parse(merged, nullptr, false).is_discarded());
  return 0;
}
