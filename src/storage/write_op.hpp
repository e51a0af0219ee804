// A write on its way, and what became of it.
#pragma once
#include <onebin/storage/store.hpp>

#include "storage/memory_table.hpp"

#include <coroutine>

namespace onebin::storage {

enum class WriteKind : std::uint8_t { Create, Update, Remove };

struct WriteOp {
  WriteKind kind = WriteKind::Create;
  std::string key;
  Bytes value;
  std::int64_t expected = 0;
  std::int64_t expires_ms = 0;
  bool is_volatile = false;
  // Outcome: an error, or the item (a tombstone for a removal) and what it replaced.
  Status status;
  Entry item;
  Entry previous;  // also what is stored now, after Conflict and AlreadyExists
  std::coroutine_handle<> waiter;
};

// The conditions of a write against what is stored; sets op.status. True: go on.
inline bool check_conditions(WriteOp& op, const Entry& stored) {
  if (op.kind == WriteKind::Create) {
    if (stored) op.status = key_exists(op.key);
  } else if (!stored) {
    op.status = key_not_found(op.key);
  } else if (op.expected && op.expected != stored->mod_revision) {
    op.status = key_conflict(op.key, op.expected, stored->mod_revision);
  }
  op.previous = stored;
  return op.status.is_ok();
}

// The item that a write which passed its conditions leaves at `revision`.
inline void settle(WriteOp& op, std::int64_t revision) {
  auto item = std::make_shared<Item>();
  item->key = op.key;
  item->create_revision = op.previous ? op.previous->create_revision : revision;
  item->mod_revision = revision;
  item->value = op.kind == WriteKind::Remove ? op.previous->value : op.value;
  item->expires_ms = op.kind == WriteKind::Remove ? 0 : op.expires_ms;
  op.item = std::move(item);
}

inline WatchEvent event_of(const WriteOp& op) {
  WatchEvent e;
  e.type = op.kind == WriteKind::Remove ? WatchEvent::Type::Delete : WatchEvent::Type::Put;
  e.kv = *op.item;
  if (op.previous) {
    e.previous_revision = op.previous->mod_revision;
    e.previous_value = op.previous->value;
  }
  return e;
}

inline WriteResult result_of(WriteOp& op) {
  if (op.status) return WriteResult(KeyValue(*op.item));
  WriteResult r(op.status);
  if (op.previous && (op.status.is(Reason::Conflict) || op.status.is(Reason::AlreadyExists))) r.current = *op.previous;
  return r;
}

}  // namespace onebin::storage
