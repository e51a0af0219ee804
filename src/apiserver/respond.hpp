// Answers: objects, lists' frames and errors in the form that the client asked for.
#pragma once
#include "apiserver/core.hpp"

#include <onebin/apimachinery/schema.hpp>

namespace onebin::apiserver {

Result<Negotiated> negotiate_for(const RequestContext& c, bool watch = false);
// What upstream's router answers of an Accept header before anything else is looked at: routes have JSON, or all forms, or also
// those of watches.
enum class RouteForms : unsigned char { Json, All, Streams };
Status check_accept(const RequestContext& c, RouteForms forms = RouteForms::All);
// Headers that every answer has: Content-Type, Cache-Control, Audit-Id, warnings.
net::Headers answer_headers(const RequestContext& c, std::string content_type);

// A list was asked for as if it were an object, or an object as if it were a list.
Status wrong_form(const Served& served, const Negotiated& asked);
// A stored object (with revision) of `served`'s storage identity.
Handling send_stored(RequestContext* c, int code, const Served* served, Bytes stored);
// Any document of a known type; `type` null: as it is. Table and metadata forms are made where asked for and `served` is given.
Handling send_document(RequestContext* c, int code, Document document, const apimachinery::TypeSchema* type, const Served* served = nullptr);
// An error; never fails but by the client's going away. Answers nothing where an answer has begun.
async::Task<void> send_status(RequestContext* c, Status status, std::string continue_token = {});
Handling send_text(RequestContext* c, int code, std::string content_type, std::string body);
// A JSON body with its newline, as it is.
Handling send_json(RequestContext* c, int code, std::string body);

// The object's bytes in a wire format: JSON without newline, protobuf with envelope. In the served version.
Status append_object(std::string& out, const Served& served, const Bytes& stored, Format format);
// The stored object as a document of the served version, with resourceVersion.
Result<Document> decode_stored(const Served& served, const Bytes& stored);
// PartialObjectMetadata of a stored object.
Status append_partial_metadata(std::string& out, const Bytes& stored, Format format, std::string_view version);
// A document in a wire format.
Result<std::string> encode_document(const Document& document, const apimachinery::TypeSchema* type, Format format);
std::string indent_json(std::string_view compact);
// An object as a Table with one row (or of a list's rows).
Document table_of(const Served& served, const std::vector<const Document*>& objects, std::string_view include_object,
                  const apimachinery::TableList& list, std::string_view version, WallTime now);

// Writes a body of unknown size, compressed where the client takes it and the body turns out to be large.
class BodySink {
 public:
  explicit BodySink(RequestContext* c);
  ~BodySink();
  Handling start(int code, net::Headers headers);
  Handling write(std::string_view chunk);
  Handling finish();

 private:
  struct Deflater;
  Handling decide(bool compress);
  Handling put(std::string_view chunk);
  RequestContext* c_;
  bool decided_ = false;
  int code_ = 0;
  net::Headers headers_;
  std::string held_;  // until it is decided
  std::unique_ptr<Deflater> deflater_;
};
bool accepts_gzip(const RequestContext& c);
// Of a whole body: upstream compresses what is larger than this.
inline constexpr std::size_t kGzipThreshold = 128 * 1024;
inline bool compresses(const RequestContext& c, std::size_t size) { return size > kGzipThreshold && accepts_gzip(c); }
std::string gzip(std::string_view data);
// A member of a stream that is read as it comes: deflated where that gains, and flushed before its end, as upstream's watches are.
std::string gzip_part(std::string_view data);

}  // namespace onebin::apiserver
