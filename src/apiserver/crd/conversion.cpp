#include "apiserver/crd/conversion.hpp"

#include "apiserver/cache/stored_json.hpp"
#include "apiserver/concat.hpp"
#include "apiserver/crd/custom_kind.hpp"
#include "apiserver/respond.hpp"

#include <onebin/apimachinery/codec.hpp>
#include <onebin/apimachinery/meta.hpp>
#include <onebin/apimachinery/prune.hpp>
#include <onebin/apimachinery/selectors.hpp>
#include <onebin/apimachinery/validation.hpp>

namespace onebin::apiserver {

using apimachinery::api_version_of;
using apimachinery::find_member;
using apimachinery::go_quote;
using apimachinery::kind_of;
using apimachinery::member;
using apimachinery::string_at;

namespace {

constexpr Duration kLimit = std::chrono::seconds(30);

Status unconverted(std::string text) { return Status(Reason::Unknown, std::move(text)); }

std::string gvk_text(const Document& object) { return concat({api_version_of(object), ", Kind=", kind_of(object)}); }

std::string_view go_type(const Document& d) {
  return d.is_string() ? "string" : d.is_boolean() ? "bool" : d.is_number_integer() ? "int64" : d.is_number() ? "float64" : d.is_array() ? "[]interface {}" : d.is_null() ? "<nil>" : "map[string]interface {}";
}

// Who it is must stay.
Status check_identity(const Document& in, const Document& out) {
  auto same = [](const char* what, std::string_view a, std::string_view b) {
    return a == b ? Status::ok() : bad_request(concat({"must have the same ", what, ": ", a, " != ", b}));
  };
  RETURN_IF_ERROR(same("kind", kind_of(in), kind_of(out)));
  RETURN_IF_ERROR(same("name", apimachinery::name_of(in), apimachinery::name_of(out)));
  RETURN_IF_ERROR(same("namespace", apimachinery::namespace_of(in), apimachinery::namespace_of(out)));
  return same("UID", apimachinery::uid_of(in), apimachinery::uid_of(out));
}

// Labels or annotations as the webhook left them.
Status take_map(const char* field, const Document& response, Document& metadata) {
  const Document* now = find_member(response, field);
  if (!now || now->is_null()) {
    metadata.erase(field);
    return Status::ok();
  }
  if (!now->is_object()) return bad_request(concat({"invalid metadata.", field, " of type ", go_type(*now), " in converted object"}));
  for (const auto& [k, v] : now->items())
    if (!v.is_string()) return bad_request(concat({"metadata.", field, "[", k, "] must be a string, but is ", go_type(v), " in converted object"}));
  if (member(metadata, field) != *now) {
    bool labels = field[0] == 'l';
    FieldPath path = FieldPath("metadata").child(labels ? "labels" : "annotation");
    FieldErrors errors = labels ? apimachinery::validate_labels(*now, path) : apimachinery::validate_annotations(*now, path);
    if (!errors.empty()) return bad_request(apimachinery::aggregate(errors));
  }
  metadata[field] = *now;
  return Status::ok();
}

// The original's metadata, but for labels and annotations.
Status restore_metadata(const Document& in, Document& out) {
  const Document* given = find_member(out, "metadata");
  if (!given) return bad_request("missing metadata in converted object");
  if (!given->is_object()) return bad_request("invalid metadata of type " + std::string(go_type(*given)) + " in converted object");
  Document response = *given, metadata = member(in, "metadata");
  if (!metadata.is_object()) metadata = Document::object();
  RETURN_IF_ERROR(take_map("labels", response, metadata));
  RETURN_IF_ERROR(take_map("annotations", response, metadata));
  out["metadata"] = std::move(metadata);
  return Status::ok();
}

// The converted objects of an answer.
Result<Document> read_answer(const Document& review, const std::string& uid, bool v1) {
  const Document* response = find_member(review, "response");
  if (v1) {
    const std::string expected = "apiextensions.k8s.io/v1, Kind=ConversionReview";
    if (std::string got = gvk_text(review); got != expected) return bad_request(concat({"expected webhook response of ", expected, ", got ", api_version_of(review).empty() ? "/" : "", got}));
  }
  if (!response || !response->is_object()) return bad_request("no response provided");
  if (std::string_view got = string_at(*response, "uid"); v1 && got != uid) return bad_request(concat({"expected response.uid=", go_quote(uid), ", got ", go_quote(got)}));
  const Document& result = member(*response, "result");
  if (std::string_view status = string_at(result, "status"); status != "Success") {
    std::string_view message = string_at(result, "message");
    return bad_request(message.empty() ? concat({"response.result.status was '", status, "', not 'Success'"}) : std::string(message));
  }
  const Document& objects = member(*response, "convertedObjects");
  return objects.is_array() ? objects : Document::array();
}

Status check_converted(const Document& in, const Document& out, const std::string& api_version) {
  if (!out.is_object()) return bad_request("invalid type");
  if (api_version_of(out) != api_version) return bad_request(concat({"invalid groupVersion (expected ", api_version, ", received ", api_version_of(out), ")"}));
  if (kind_of(out) != kind_of(in)) return bad_request(concat({"invalid kind (expected ", kind_of(in), ", received ", kind_of(out), ")"}));
  return Status::ok();
}

// Takes what came back for one object of `many`, the index-th.
Status take_converted(Document& object, Document converted, const std::string& api_version, std::size_t index, bool many) {
  auto wrong = [&](std::string_view what, bool indexed, const Status& why) {
    return unconverted(concat({"conversion webhook for ", gvk_text(object), " returned invalid ", what, indexed ? " at index " + std::to_string(index) : "", ": ", why.message()}));
  };
  if (Status s = check_converted(object, converted, api_version); !s) return wrong(many ? "converted object" : "object", true, s);
  if (Status s = check_identity(object, converted); !s) return wrong(many ? "converted object" : "object", many, s);
  if (Status s = restore_metadata(object, converted); !s) return wrong(many ? "metadata in object" : "metadata", many, s);
  object = std::move(converted);
  return Status::ok();
}

std::string review_of(const ConversionWebhook& w, const std::string& uid, const std::string& api_version, const std::vector<Document*>& objects) {
  std::string list;
  for (const Document* o : objects) {
    if (!list.empty()) list.push_back(',');
    apimachinery::append_json(list, *o, nullptr);
  }
  return concat({R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/)", w.review_version, R"(","request":{"uid":")", uid, R"(","desiredAPIVersion":")", api_version,
                 R"(","objects":[)", list, R"(]},"response":{"uid":"","convertedObjects":null,"result":{"metadata":{}}}})", "\n"});
}

async::Task<Result<void>> ask(Core* core, const ConversionWebhook* w, std::string api_version, std::vector<Document*> objects) {
  if (w->review_version.empty()) co_return unconverted("no supported conversion review versions");
  std::string uid = random_uuid(core->rng()), of = concat({"conversion webhook for ", gvk_text(*objects.front())});
  if (!w->target.unusable.empty()) co_return unconverted(concat({of, " failed: ", w->target.unusable}));
  Result<Document> review = co_await call_webhook(core, &w->target, review_of(*w, uid, api_version, objects), kLimit, false);
  if (review.is(Reason::Cancelled)) co_return review.status();
  Result<Document> converted = review ? read_answer(*review, uid, w->review_version == "v1") : review;
  if (!converted) co_return unconverted(concat({of, " failed: ", converted.status().message()}));
  if (converted->size() != objects.size()) co_return unconverted(concat({of, " returned ", std::to_string(converted->size()), " objects, expected ", std::to_string(objects.size())}));
  for (std::size_t i = 0; i < objects.size(); ++i)
    if (Status s = take_converted(*objects[i], std::move((*converted)[i]), api_version, i, objects.size() > 1); !s) co_return s;
  co_return Result<void>();
}

}  // namespace

ConversionWebhook::ConversionWebhook(const Document& webhook) : target(WebhookTarget::of(member(webhook, "clientConfig"))) {
  for (const auto& v : member(webhook, "conversionReviewVersions"))
    if (review_version.empty() && (v == "v1" || v == "v1beta1")) review_version = v.get<std::string>();
}

bool converts_by_webhook(const Served& served) { return served.custom && served.custom->conversion; }

async::Task<Result<void>> convert_customs(Core* core, const Served* served, std::string api_version, std::vector<Document>* objects) {
  std::vector<Document*> others;
  for (auto& o : *objects)
    if (api_version_of(o) != api_version) others.push_back(&o);
  if (others.empty()) co_return Result<void>();
  if (converts_by_webhook(*served)) {
    std::shared_ptr<const ConversionWebhook> webhook = served->custom->conversion;
    co_return co_await ask(core, webhook.get(), std::move(api_version), std::move(others));
  }
  for (Document* o : others) (*o)["apiVersion"] = api_version;
  co_return Result<void>();
}

async::Task<Result<Document>> convert_custom(Core* core, const Served* served, std::string api_version, Document object) {
  std::vector<Document> one;
  one.push_back(std::move(object));
  Result<void> r = co_await convert_customs(core, served, std::move(api_version), &one);
  if (!r) co_return r.status();
  co_return std::move(one.front());
}

async::Task<Result<void>> convert_stored(Core* core, const Served* served, std::vector<Bytes>* items) {
  if (!converts_by_webhook(*served)) co_return Result<void>();
  const std::string wanted = served->api_version, in_json = apimachinery::encode_json(Document(wanted), nullptr);
  std::vector<Document> objects;
  std::vector<Bytes*> places;
  for (auto& item : *items) {
    if (!item || json_member(*item, "apiVersion") == in_json) continue;
    Result<Document> d = apimachinery::decode_json(*item, nullptr);
    if (!d) co_return d.status();
    objects.push_back(std::move(*d));
    places.push_back(&item);
  }
  if (objects.empty()) co_return Result<void>();
  Result<void> r = co_await convert_customs(core, served, wanted, &objects);
  if (!r) co_return r;
  for (std::size_t i = 0; i < objects.size(); ++i) *places[i] = make_bytes(apimachinery::encode_json(objects[i], served->kind->type));
  co_return Result<void>();
}

async::Task<Result<Document>> read_stored(Core* core, const Served* served, Bytes stored) {
  if (!converts_by_webhook(*served)) co_return decode_stored(*served, stored);
  std::vector<Bytes> one{std::move(stored)};
  Result<void> r = co_await convert_stored(core, served, &one);
  if (!r) co_return r.status();
  co_return decode_stored(*served, one.front());
}

}  // namespace onebin::apiserver
