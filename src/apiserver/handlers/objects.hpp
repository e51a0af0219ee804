// Writes of one object, for handlers of every verb and subresource: the pipeline from a document to storage.
#pragma once
#include "apiserver/admission.hpp"
#include "apiserver/core.hpp"

#include <onebin/apimachinery/codec.hpp>

#include <functional>
#include <optional>

namespace onebin::apiserver {

// Whether a write is answered from the document that it made, and not from what it stored.
bool answers_with_document(const RequestContext& c, const Served& served);

// What a write left in storage (or would have, in a dry run).
struct Written {
  Document object;          // of the served version, with resourceVersion; after a create only where it answers with the document
  Bytes stored;             // stored form with revision
  std::int64_t revision = 0;
  bool created = false;
  bool unchanged = false;
};

// How a write is recorded in managedFields.
struct Tracking {
  std::string manager;
  bool skip = false;        // done already (apply), or not wanted
};

struct CreateOptions {
  Tracking tracking;
  const Document* options = nullptr;  // for admission
};
// POST of a main resource: `object` as the client sent it, defaulted.
async::Task<Result<Written>> create_object(RequestContext* c, const Served* served, std::string ns, Document object, CreateOptions options);

// Takes repeated owner references out, with a warning. `admitted`: after the admission plug-ins, which the warning says then.
void drop_repeated_owners(RequestContext& c, Document& object, bool admitted);

// The body of a subresource that is of a kind of its own (a Scale): made from its parent, and put back into it.
struct SubresourceBody {
  const KindSchema* kind = nullptr;
  std::function<Result<Document>(const Document& parent)> of;
  std::function<Result<Document>(const Document& parent, const Document& body)> put;
};

struct UpdateOptions {
  std::string ns, name;
  std::string subresource;  // "status": the status strategy; "" or another: the main one
  // The new object from the current one (null where there is none); rerun when the object changed meanwhile.
  std::function<Result<Document>(const Document* current)> make;
  bool allow_create = false;
  bool admission = true;
  bool uid_is_precondition = true;  // false (patches): it may not change, like the rest of metadata
  bool update_strategy = true;  // false: neither prepared nor validated (finalize, binding: their handlers do)
  Tracking tracking;
  const apimachinery::ManagedResource* managed = nullptr;  // null: by subresource
  const Document* options = nullptr;
  std::string precondition_uid;  // where the subresource's body is of another kind
  const SubresourceBody* body = nullptr;  // likewise: what admission sees
};
async::Task<Result<Written>> update_object(RequestContext* c, const Served* served, UpdateOptions options);

struct DeleteOptions {
  std::optional<std::int64_t> grace_seconds;
  std::optional<std::string> uid, resource_version;
  std::string propagation;            // "", "Orphan", "Background", "Foreground"
  std::optional<bool> orphan;         // the deprecated orphanDependents
  bool dry_run = false;
  bool admission = true;
  Document document = Document::object();
};
struct Deleted {
  Document object;      // the last state, with the revision of the write
  Bytes stored;
  bool gone = false;    // false: it is marked and goes later
};
async::Task<Result<Deleted>> delete_object(RequestContext* c, const Served* served, std::string ns, std::string name, DeleteOptions options);
// From the body and the query.
async::Task<Result<DeleteOptions>> read_delete_options(RequestContext* c);

// The body as a document of `kind`, decoded by its content type; unknown and duplicate fields as fieldValidation says.
async::Task<Result<Document>> read_object(RequestContext* c, const KindSchema* kind);
// A body of a known type in any format. Protobuf has neither unknown fields nor duplicates to report.
Result<Document> decode_body(std::string_view body, Format format, const apimachinery::TypeSchema& type,
                             const apimachinery::DecodeOptions& options = {}, apimachinery::DecodeReport* report = nullptr);
async::Task<Result<std::string>> read_body(RequestContext* c);
Result<apimachinery::FieldValidation> field_validation(const RequestContext& c);
// fieldManager of the query, else of the user agent.
std::string manager_of(const RequestContext& c);
// dryRun, fieldManager, fieldValidation of create and update; as an options document for admission.
Result<Document> write_options(const RequestContext& c, std::string_view kind);

// metadata.namespace against the request's; sets it where empty.
Status check_namespace(const Served& served, std::string_view ns, Document& object);
void apply_all_defaults(const Served& served, Document& object);
AdmissionAttributes admission_of(RequestContext& c, const Served& served, Operation op, std::string ns, std::string name);
// The stored form; takes the revision out of the object.
async::Task<Result<Bytes>> encode_for_storage(Core* core, const Served* served, Document* object);
// Waits until the cache is current and decodes; NotFound.
async::Task<Result<Document>> current_object(RequestContext* c, const Served* served, std::string ns, std::string name);

}  // namespace onebin::apiserver
