#include "options.hpp"

#include <onebin/base/file.hpp>
#include <onebin/base/time.hpp>
#include <onebin/storage/snapshot.hpp>

#include <cstdio>

namespace onebin::cmd {
namespace {

int fail(const Status& s) {
  std::fprintf(stderr, "onebin: %s\n", s.message().c_str());
  return 1;
}

void print(const storage::SnapshotInfo& s) {
  std::printf("%-60s %-22s %10lld %12lld\n", s.path.c_str(), format_rfc3339(from_unix(s.unix_time)).c_str(), static_cast<long long>(s.revision),
              static_cast<long long>(s.bytes));
}

}  // namespace

int run_snapshot(const Parsed& p) {
  std::string store = p.snapshot.data_dir + "/server/db/state.db", folder = p.snapshot.data_dir + "/server/db/snapshots";
  if (p.snapshot.action == "ls") {
    Result<std::vector<std::string>> names = list_dir(folder);
    if (!names && !names.is(Reason::NotFound)) return fail(names.status());
    std::printf("%-60s %-22s %10s %12s\n", "FILE", "TAKEN", "REVISION", "BYTES");
    for (const auto& n : names.value_or({})) {
      Result<storage::SnapshotInfo> s = storage::verify_snapshot(folder + "/" + n);
      if (s) print(*s);
      else std::printf("%-60s damaged: %s\n", (folder + "/" + n).c_str(), s.status().message().c_str());
    }
    return 0;
  }
  if (p.snapshot.action == "restore") {
    Result<storage::SnapshotInfo> s = storage::restore_snapshot(p.snapshot.path, store);
    if (!s) return fail(s.status());
    std::printf("restored revision %lld; the state before lies in %s.before-restore\n", static_cast<long long>(s->revision), store.c_str());
    return 0;
  }
  std::int64_t now = system_clock().unix_seconds();
  std::string path = p.snapshot.path;
  if (path.empty()) {
    if (Result<void> made = make_dirs(folder, 0700); !made) return fail(made.status());
    path = folder + "/onebin-" + std::to_string(now) + ".snapshot";
  }
  Result<storage::SnapshotInfo> s = storage::save_snapshot(store, path, now);
  if (!s) return fail(s.status());
  std::printf("saved %s (revision %lld, %lld bytes)\n", s->path.c_str(), static_cast<long long>(s->revision), static_cast<long long>(s->bytes));
  return 0;
}

}  // namespace onebin::cmd
