// Strategy: what a kind adds to the generic path: what it prepares, validates and prints. Plain data where a kind differs
// only by a flag; virtual functions where it needs code. Strategies hold no state of requests and are shared.
#pragma once
#include "apiserver/cache/object_view.hpp"
#include "apiserver/lister.hpp"

#include <onebin/apimachinery/document.hpp>
#include <onebin/apimachinery/field_error.hpp>
#include <onebin/apimachinery/names.hpp>
#include <onebin/apimachinery/schema.hpp>
#include <onebin/apimachinery/table.hpp>
#include <onebin/apiserver/user_info.hpp>
#include <onebin/base/random.hpp>
#include <onebin/base/time.hpp>

#include <memory>
#include <string>
#include <vector>

namespace onebin::apiserver {

using apimachinery::Document;
using apimachinery::FieldErrors;
using apimachinery::FieldPath;
using apimachinery::KindSchema;

class Core;
struct Printer;

// What a strategy may use during one write.
struct WriteContext {
  Core* core = nullptr;
  const Lister* lister = nullptr;
  const UserInfo* user = nullptr;
  WallTime now;
  Rng* rng = nullptr;
  std::vector<std::string>* warnings = nullptr;
  bool dry_run = false;
  std::string subresource;
  void warn(std::string text) const { if (warnings) warnings->push_back(std::move(text)); }
};

enum class GcPolicy : unsigned char { Background, Orphan, Unsupported };

class Strategy {
 public:
  explicit Strategy(const KindSchema& kind);
  virtual ~Strategy() = default;

  // --- facts
  const KindSchema* kind;
  apimachinery::NameRule name_rule = apimachinery::name_is_dns_subdomain;
  bool name_rule_on_update = false;  // an update checks generateName by the rule of names again
  bool own_finalizers = true;     // finalizers need a domain, but for Kubernetes' own
  bool has_status = false;        // a status subresource: writes of one side leave the other alone
  bool has_generation = false;    // metadata.generation counts changes of the spec
  bool create_on_update = false;
  bool unconditional_update = true;
  bool returns_deleted = false;   // a deletion answers the object, not a Status
  bool graceful = false;          // deletions have a grace period (pods)
  bool check_schema = true;       // validation is (also) what the schema tables state
  GcPolicy gc = GcPolicy::Background;
  std::vector<SelectableField> selectable;  // beyond metadata.name and metadata.namespace

  // --- writes. `object` is the kind's served version; metadata's system fields are filled in already.
  // The tables' defaults, then those that depend on other fields.
  virtual void apply_defaults(Document& object) const;
  virtual void set_defaults(Document& object) const;
  virtual void prepare_for_create(WriteContext& c, Document& object) const;
  virtual void prepare_for_update(WriteContext& c, Document& object, const Document& old) const;
  virtual void validate(WriteContext& c, const Document& object, FieldErrors& errors) const;
  virtual void validate_update(WriteContext& c, const Document& object, const Document& old, FieldErrors& errors) const;
  virtual void prepare_for_status_update(WriteContext& c, Document& object, const Document& old) const;
  virtual void validate_status_update(WriteContext& c, const Document& object, const Document& old, FieldErrors& errors) const;
  virtual void warnings_on_create(WriteContext& c, const Document& object) const;
  virtual void warnings_on_update(WriteContext& c, const Document& object, const Document& old) const;
  virtual void warnings_on_status_update(WriteContext&, const Document&, const Document&) const {}

  // Takes what the object needs from a pool (addresses, ports) and writes it into it. finish() is called with whether the
  // write was stored; then also for what `old` gives back.
  class Reservation {
   public:
    virtual ~Reservation() = default;
    virtual void finish(bool stored) = 0;
  };
  virtual Result<std::unique_ptr<Reservation>> begin_create(WriteContext& c, Document& object) const;
  virtual Result<std::unique_ptr<Reservation>> begin_update(WriteContext& c, Document& object, const Document& old) const;
  // Whether an update ends a deletion under way: the last finalizer is gone.
  virtual bool deletes_on_update(const Document& object, const Document& old) const;
  // A deletion begins: what it changes in the object before all else.
  virtual void begin_deletion(Document& object, WallTime now) const;
  // A deletion was stored.
  virtual void after_delete(Core& core, const Document& object) const;

  // Grace seconds of a graceful deletion; none: the object goes at once. `asked` < 0: not given.
  virtual std::optional<std::int64_t> grace_period(const Document& object, std::optional<std::int64_t> asked) const;
  // How long a stored object lives (Events). Zero: for ever.
  virtual Duration time_to_live(const Document&) const { return Duration::zero(); }

  // --- reads
  // Field selectors that a list has where the client gives none; and those that are not known are an error.
  const SelectableField* selectable_field(std::string_view name) const;
  const SelectableField& selectable_field_name() const { return name_field_; }
  const SelectableField& selectable_field_namespace() const { return namespace_field_; }
  virtual const std::vector<apimachinery::TableColumn>& columns() const;
  // As many cells as columns.
  virtual Document cells(const Document& object, WallTime now) const;

 protected:
  // Restores in `object` everything but metadata and `keep` from `old`.
  static void keep_only(Document& object, const Document& old, std::string_view keep);
  // Restores metadata but managedFields, as a status subresource that leaves it alone does.
  static void keep_metadata(Document& object, const Document& old);
  void select(std::string_view path) { select(path, path); }
  void select(std::string_view name, std::string_view path);
  void bump_generation(Document& object, const Document& old) const;
  // The type of what lies at the path; and whether two objects have the same there, as Go's structs are the same.
  const apimachinery::TypeSchema& type_at(std::initializer_list<std::string_view> path) const;
  bool same_at(std::initializer_list<std::string_view> path, const Document& a, const Document& b) const;

  const Printer* printer_ = nullptr;
  void (*warnings_)(const WriteContext& c, const Document& object, const Document* old) = nullptr;

 private:
  SelectableField name_field_, namespace_field_;
};

using StrategyPtr = std::shared_ptr<const Strategy>;
StrategyPtr make_strategy(const KindSchema& kind);

}  // namespace onebin::apiserver
