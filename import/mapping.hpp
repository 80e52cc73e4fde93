#pragma once
// What of a record goes where. A tool's mapping is a table of paths (sources.cpp) and, for what paths cannot
// say, a function; a mapping file changes the table.

#include "document.hpp"
#include "json.hpp"
#include "reader.hpp"

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace importer
{

// Keys from the root, separated by dots, which keys may contain too; numbers index arrays. The first that
// leads to something other than null and '' counts.
using paths = std::vector<std::string>;

// A record on its way. What a mapping's function finds out goes before what the paths say.
class draft
{
public:
    draft(record &r, json_parser &parser) : r_(r), parser_(parser) {}

    value &root() noexcept { return r_.tree.root; }
    document &tree() noexcept { return r_.tree; }
    value *at(std::string_view path) { return find_in(root(), path); }
    // The first that counts. All of the paths are mapped, so that none is kept once more.
    value *take(const paths &p) { return take_first(p); }
    value *take(std::initializer_list<std::string_view> p) { return take_first(p); }
    std::string_view text(const paths &p) { return text_of(take_first(p)); }
    std::string_view text(std::initializer_list<std::string_view> p) { return text_of(take_first(p)); }
    // JSON within a text becomes the tree it is.
    value *expand(value *v);
    // The same where texts are cells of a CSV file, which may hold JSON; in JSON a text is a text.
    value *expand_cell(value *v) { return r_.raw.empty() ? expand(v) : v; }
    void add(std::string_view key, const value *v);
    void add_text(std::string_view key, std::string_view text);

    std::string_view event_type; // one of ours
    bool has_name = true;        // false: the type says it all
    std::string_view id, session, page;
    const char *left_out = nullptr; // why this is no event
    value *additions = nullptr;     // to the metadata, the latest first

private:
    template <typename Paths>
    value *take_first(const Paths &p)
    {
        value *first = nullptr;
        for (std::string_view const path : p) {
            value *const v = at(path);
            if (v == nullptr)
                continue;
            v->is_taken = true;
            if (first == nullptr && !v->is_empty())
                first = v;
        }
        return first;
    }
    static std::string_view text_of(const value *v) noexcept
    {
        return v == nullptr ? "" : v->type == kind::boolean ? v->truth ? "true" : "false" : v->text;
    }
    value *find_in(value &from, std::string_view path);
    value *child(value &from, std::string_view key);

    record &r_;
    json_parser &parser_;
};

struct mapping {
    paths id, workspace_id, created_at, user_id, session_id, event_type, event_name, page, ip_address,
        user_agent, referrer;
    std::vector<std::pair<std::string, paths>> metadata; // key <- paths
    paths roots; // objects whose other members go into the metadata; "": the record itself
    std::vector<std::string> dropped; // their members that do not; prefix* for many
    bool keeps_rest = true;           // false: only what `metadata` names
    std::map<std::string, std::string, std::less<>>
        tool_types; // a tool's event name -> our type, which then says it all
    std::map<std::string, std::string, std::less<>> user_types; // the user's own; "*": of all other names
    std::string time_zone;          // of times without one; empty: they are refused
    bool are_numbers_local = false; // numbers are local times, too
    std::function<void(draft &)> examine;
    format container;
};

// --from; throws std::runtime_error for unknown tools.
mapping mapping_of(const std::string &tool);
std::vector<std::string> tool_names();

// Changes what the file, a JSON object, names.
void read_mapping_file(const std::string &file, mapping &m);
void set_event_type(mapping &m, const std::string &name, const std::string &type);

} // namespace importer
