#include "storage/store_base.hpp"

namespace onebin::storage {
namespace {

class MemoryStore final : public StoreBase {
 public:
  explicit MemoryStore(MemoryOptions o) : StoreBase(o.history, o.watch, o.max_value_bytes, 1, 1) {}

  async::Task<Result<KeyValue>> get(std::string key, std::int64_t revision) override {
    CO_ASSIGN_OR_RETURN(std::int64_t at, read_revision(revision, oldest_));
    Entry e = table_.find_at(key, at);
    if (!e) co_return key_not_found(key);
    co_return KeyValue(*e);
  }

  async::Task<Result<ListResult>> list(std::string prefix, std::string start_after, std::size_t limit, std::int64_t revision) override {
    ListResult r;
    CO_ASSIGN_OR_RETURN(r.revision, read_revision(revision, oldest_));
    ListPart part = table_.list_at(KeyRange::of(prefix, start_after), limit, r.revision);
    r.items = std::move(part.items);
    r.remaining = part.total - static_cast<std::int64_t>(r.items.size());
    r.more = r.remaining > 0;
    co_return r;
  }

  async::Task<Result<std::int64_t>> count(std::string prefix) override {
    if (closed_) co_return closed();
    KeyRange range = KeyRange::of(prefix);
    const EntrySet& now = table_.current();
    std::int64_t n = 0;
    for (auto at = now.lower_bound(std::string_view(range.begin)); at != now.end() && (*at)->key < range.end; ++at) ++n;
    co_return n;
  }

 protected:
  async::Task<void> submit(WriteOp* op) override {
    if (!check_conditions(*op, table_.find(op->key))) co_return;
    std::int64_t revision = current_revision() + 1;
    settle(*op, revision);
    table_.apply(op->kind == WriteKind::Remove ? WatchEvent::Type::Delete : WatchEvent::Type::Put, op->item);
    ++commits_;
    publish({op}, revision);
  }
  async::Task<void> forget(std::int64_t revision, bool) override {
    table_.compact(revision);
    co_return;
  }
  async::Task<void> do_close() override { co_return; }
  async::Task<Result<HistorySlice>> read_history(std::string prefix, std::int64_t after, std::int64_t upto) override {
    co_return table_.history(KeyRange::of(prefix), after, upto, 1000);
  }
  std::int64_t oldest_for(std::string_view) const override { return oldest_; }

 private:
  MemoryTable table_;
};

}  // namespace

std::unique_ptr<Store> make_memory_store(MemoryOptions options) { return std::make_unique<MemoryStore>(std::move(options)); }

}  // namespace onebin::storage
