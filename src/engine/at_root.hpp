// Files below a root descriptor, for trees whose content is not trusted: openat2(RESOLVE_IN_ROOT), so that absolute
// links and ".." stay inside. Paths are relative, without "." and ".." (clean_path).
#pragma once
#include <onebin/base/file.hpp>

#include <string>
#include <vector>

namespace onebin::engine {

Result<Fd> open_in_root(int root, const std::string& path, int flags);  // "" is the root; NotFound when missing
// A folder (O_PATH), missing ones made with mode 0755, owner root.
Result<Fd> make_dirs_in_root(int root, const std::string& path);
Result<std::vector<std::string>> names_at(int dir);
Result<void> remove_tree_at(int dir, const std::string& name);  // missing is fine; never follows a link
// A file's content, links resolved inside the root.
Result<std::string> read_in_root(const std::string& root, const std::string& path, std::size_t limit);

}  // namespace onebin::engine
