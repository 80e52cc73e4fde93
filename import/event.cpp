#include "event.hpp"

#include "core/event/event_type.hpp"
#include "core/event/names.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <ctime>

namespace importer
{

// Less than what analytics.user_activity refuses (10,240), as numbers may be longer there than here.
static constexpr std::size_t metadata_bytes = 10'000;
// More than the table keeps of a text, so that a long one is not sent as a whole.
static constexpr std::size_t text_bytes = 2'000;

mapper::mapper(const mapping &m, const mapper_options &o)
    : mapping_(m), options_(o), latest_((std::int64_t{std::time(nullptr)} * 1'000'000) -
                                        unix_epoch_days * microseconds_per_day + microseconds_per_day)
{
    std::string const &name = o.time_zone.empty() ? m.time_zone : o.time_zone;
    if (!name.empty())
        zone_ = zone(name);
}

bool mapper::refuse(const char *reason, std::string_view detail)
{
    reason_ = reason;
    detail_ = detail.substr(0, 100);
    return false;
}

bool mapper::read_workspace(draft &d, event &e)
{
    std::string_view const text = d.text(mapping_.workspace_id);
    auto const id = text.empty() ? options_.workspace : shadow::parse_uuid(text);
    if (!id)
        return text.empty() ? refuse("no workspace") : refuse("a workspace_id that is no uuid", text);
    e.workspace = *id;
    return true;
}

bool mapper::read_time(draft &d, event &e)
{
    const value *const v = d.take(mapping_.created_at);
    if (v == nullptr)
        return refuse("no time");
    instant const time = parse_time(*v, zone_, mapping_.are_numbers_local);
    if (time.problem != nullptr)
        return refuse(time.problem, v->text);
    if (time.at < 0 || time.at > latest_)
        return refuse("a time before 2000 or in the future", v->text);
    e.created_at = time.at;
    auto const day = sealed_.find(day_of(time.at));
    if (day != sealed_.end() &&
        std::find(day->second.begin(), day->second.end(), e.workspace) != day->second.end())
        return refuse("a day whose events were removed after they had been counted", v->text);
    return true;
}

bool mapper::read_user(draft &d, event &e)
{
    std::string_view user = d.text(mapping_.user_id);
    if (user.empty())
        user = options_.default_user;
    if (user.empty())
        return refuse("no user (see --default-user)");
    e.user = shadow::user_id_of(are_users_everywhere_ ? shadow::uuid{} : e.workspace, user);
    return true;
}

// "Page View" and "page-view" are page_view.
static std::string normalised(std::string_view name)
{
    std::string result;
    for (char const c : name)
        result += c == ' ' || c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return result;
}

bool mapper::known_type(std::string_view name, event &e) const
{
    auto const type = name.size() < 40 ? shadow::find_event_type(normalised(name)) : std::nullopt;
    if (type)
        e.type = shadow::name_of(*type);
    return type.has_value();
}

// A type from the event's name.
bool mapper::name_type(draft &d, event &e)
{
    auto const own = mapping_.user_types.find(e.name);
    auto const of_tool = mapping_.tool_types.find(e.name);
    auto const rest = mapping_.user_types.find("*");
    if (own != mapping_.user_types.end()) {
        e.type = own->second;
    } else if (!d.event_type.empty()) {
        e.type = d.event_type;
        if (of_tool != mapping_.tool_types.end())
            e.name = {};
    } else if (e.name.empty()) {
        return refuse("no event name");
    } else if (of_tool != mapping_.tool_types.end()) {
        e.type = of_tool->second;
        e.name = {};
    } else if (known_type(e.name, e)) {
        e.name = {};
    } else {
        e.type = rest != mapping_.user_types.end() ? std::string_view(rest->second) : "custom";
    }
    return true;
}

bool mapper::read_type(draft &d, event &e)
{
    e.name = d.text(mapping_.event_name);
    if (!d.has_name)
        e.name = {};
    std::string_view const type = d.event_type.empty() ? d.text(mapping_.event_type) : "";
    if (type.empty())
        return name_type(d, e);
    auto const own = mapping_.user_types.find(type);
    auto const rest = mapping_.user_types.find("*");
    if (own != mapping_.user_types.end())
        e.type = own->second;
    else if (!known_type(type, e) && rest != mapping_.user_types.end())
        e.type = rest->second;
    return !e.type.empty() || refuse("an unknown event type (see --event-type)", type);
}

static std::string_view cut(std::string_view text, std::size_t most) noexcept
{
    if (text.size() <= most)
        return text;
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80)
        --most;
    return text.substr(0, most);
}

// What PostgreSQL can store: no NUL.
static std::string_view storable(document &tree, std::string_view text)
{
    text = cut(text, text_bytes);
    if (text.find('\0') == std::string_view::npos)
        return text;
    std::string copy(text);
    copy.erase(std::remove(copy.begin(), copy.end(), '\0'), copy.end());
    return tree.keep(copy);
}

// Of a URL what follows the host, without a fragment.
static std::string_view path_of(std::string_view url) noexcept
{
    std::size_t const scheme = url.find("://");
    if (scheme != std::string_view::npos && scheme < 10) {
        std::size_t const path = url.find('/', scheme + 3);
        if (path == std::string_view::npos)
            return "/";
        url.remove_prefix(path);
    }
    return url.substr(0, url.find('#'));
}

static std::string_view address_of(std::string_view text, char (&bytes)[16])
{
    std::string const copy(text.substr(0, 60));
    if (inet_pton(AF_INET, copy.c_str(), bytes) == 1)
        return {bytes, 4};
    if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1)
        return {bytes, 16};
    return {};
}

void mapper::read_texts(draft &d, event &e)
{
    e.name = storable(d.tree(), e.name);
    std::string_view const page = d.text(mapping_.page);
    e.page = storable(d.tree(), path_of(d.page.empty() ? page : d.page));
    e.user_agent = storable(d.tree(), d.text(mapping_.user_agent));
    e.referrer = storable(d.tree(), d.text(mapping_.referrer));
    e.address = address_of(d.text(mapping_.ip_address), address_);
    std::string_view const session = d.session.empty() ? d.text(mapping_.session_id) : d.session;
    e.session.reset();
    if (!session.empty())
        e.session = shadow::session_id_of(e.workspace, session);
}

// Without an id of the source the record is its own: two that are equal in everything are one event.
void mapper::read_id(draft &d, event &e, std::string_view whole)
{
    std::string_view const id = d.id.empty() ? d.text(mapping_.id) : d.id;
    e.id = id.empty() ? shadow::id_of(e.workspace, "record", whole) : shadow::id_of(e.workspace, "event", id);
}

bool mapper::is_dropped(std::string_view key) const noexcept
{
    for (std::string_view const pattern : mapping_.dropped)
        if (pattern.back() == '*' ? key.substr(0, pattern.size() - 1) == pattern.substr(0, pattern.size() - 1)
                                  : key == pattern)
            return true;
    return false;
}

void mapper::add_member(std::string_view key, const value &v)
{
    if (v.is_empty())
        return;
    for (member const &m : members_)
        if (m.key == key)
            return;
    std::size_t const begin = members_text_.size();
    append_json(members_text_, key);
    members_text_ += ": ";
    append_json(members_text_, v);
    members_.push_back({key, begin, members_text_.size() - begin});
}

void mapper::add_rest(draft &d, value &root)
{
    if (!mapping_.keeps_rest || root.type != kind::object)
        return;
    for (value *v = root.first; v != nullptr; v = v->next)
        if (!v->is_taken && !is_dropped(v->key))
            add_member(v->key, *d.expand_cell(v));
}

void mapper::read_metadata(draft &d, event &e)
{
    members_.clear();
    members_text_.clear();
    for (const value *v = d.additions; v != nullptr; v = v->next)
        add_member(v->key, *v);
    for (auto const &[key, where] : mapping_.metadata)
        if (const value *const v = d.take(where))
            add_member(key, *v);
    for (std::string const &path : mapping_.roots)
        if (value *const root = path.empty() ? nullptr : d.at(path))
            root->is_taken = true;
    for (std::string const &path : mapping_.roots)
        if (value *const root = path.empty() ? &d.root() : d.expand(d.at(path)))
            add_rest(d, *root);
    write_metadata(e);
}

// The longest go first where all would be too long, and are named.
void mapper::write_metadata(event &e)
{
    std::size_t length = 2;
    for (member const &m : members_)
        length += m.length + 2;
    std::string dropped;
    e.dropped_properties = 0;
    while (length + dropped.size() > metadata_bytes && !members_.empty()) {
        auto const longest =
            std::max_element(members_.begin(), members_.end(),
                             [](const member &a, const member &b) { return a.length < b.length; });
        if (++e.dropped_properties <= 10) {
            dropped += dropped.empty() ? "" : ", ";
            append_json(dropped, cut(longest->key, 100));
        }
        length -= longest->length + 2;
        members_.erase(longest);
    }
    e.metadata = "{";
    for (member const &m : members_)
        e.metadata.append(e.metadata.size() > 1 ? ", " : "").append(members_text_, m.begin, m.length);
    if (!dropped.empty())
        e.metadata.append(e.metadata.size() > 1 ? ", " : "").append("\"import_dropped\": [" + dropped + "]");
    e.metadata += '}';
}

// What decides whether a record becomes an event.
fate mapper::decide(draft &d, event &e)
{
    if (mapping_.examine)
        mapping_.examine(d);
    if (d.left_out != nullptr) {
        refuse(d.left_out);
        return fate::left_out;
    }
    e.type = {};
    bool const is_event = read_workspace(d, e) && read_time(d, e) && read_user(d, e) && read_type(d, e);
    return is_event ? fate::mapped : fate::refused;
}

fate mapper::look(record &r, event &e)
{
    draft d(r, parser_);
    return r.problem != nullptr ? fate::refused : decide(d, e);
}

fate mapper::map(record &r, event &e)
{
    if (r.problem != nullptr) {
        refuse(r.problem, r.detail);
        return fate::refused;
    }
    draft d(r, parser_);
    whole_.clear();
    if (d.text(mapping_.id).empty())
        append_json(whole_, d.root());
    fate const f = decide(d, e);
    if (f == fate::mapped) {
        read_texts(d, e);
        read_id(d, e, whole_);
        read_metadata(d, e);
    }
    return f;
}

// --- rows ---

static void append_word(std::string &out, std::uint32_t word)
{
    word = htonl(word);
    out.append(reinterpret_cast<const char *>(&word), sizeof word);
}

static void append_uuid(std::string &out, const shadow::uuid &id)
{
    char bytes[16];
    id.to_bytes(bytes);
    append_word(out, sizeof bytes);
    out.append(bytes, sizeof bytes);
}

static void append_text(std::string &out, std::string_view text)
{
    if (text.empty()) {
        append_word(out, ~std::uint32_t{0});
        return;
    }
    append_word(out, static_cast<std::uint32_t>(text.size()));
    out.append(text);
}

// As inet_recv() reads it: family, bits, no cidr, length.
static void append_address(std::string &out, std::string_view address)
{
    if (address.empty()) {
        append_text(out, {});
        return;
    }
    auto const length = static_cast<char>(address.size());
    append_word(out, static_cast<std::uint32_t>(4 + address.size()));
    const char head[4] = {static_cast<char>(length == 4 ? 2 : 3), static_cast<char>(length * 8), 0, length};
    out.append(head, sizeof head).append(address);
}

void append_row(std::string &out, const event &e)
{
    static constexpr char columns[2] = {0, 12};
    out.append(columns, sizeof columns);
    append_uuid(out, e.id);
    append_uuid(out, e.workspace);
    append_uuid(out, e.user);
    append_text(out, e.type);
    append_text(out, e.name);
    append_text(out, e.page);
    if (e.session)
        append_uuid(out, *e.session);
    else
        append_text(out, {});
    append_address(out, e.address);
    append_text(out, e.user_agent);
    append_text(out, e.referrer);
    append_word(out, static_cast<std::uint32_t>(1 + e.metadata.size())); // jsonb: a version and the text
    out += '\1';
    out += e.metadata;
    append_word(out, 8);
    auto const at = static_cast<std::uint64_t>(e.created_at);
    append_word(out, static_cast<std::uint32_t>(at >> 32));
    append_word(out, static_cast<std::uint32_t>(at));
}

static void describe_text(std::string &out, const char *key, std::string_view text)
{
    if (text.empty())
        return;
    out.append(", \"").append(key).append("\": ");
    append_json(out, text);
}

static void describe_uuid(std::string &out, const char *key, const shadow::uuid &id)
{
    char buffer[37];
    describe_text(out, key, shadow::format_uuid(id, buffer));
}

std::string describe(const event &e)
{
    std::string out = "{\"created_at\": \"" + format_time(e.created_at) + '"';
    describe_uuid(out, "id", e.id);
    describe_uuid(out, "workspace_id", e.workspace);
    describe_uuid(out, "user_id", e.user);
    describe_text(out, "event_type", e.type);
    describe_text(out, "event_name", e.name);
    describe_text(out, "page_path", e.page);
    if (e.session)
        describe_uuid(out, "session_id", *e.session);
    char address[INET6_ADDRSTRLEN] = "";
    if (!e.address.empty())
        inet_ntop(e.address.size() == 4 ? AF_INET : AF_INET6, e.address.data(), address, sizeof address);
    describe_text(out, "ip_address", address);
    describe_text(out, "user_agent", e.user_agent);
    describe_text(out, "referrer", e.referrer);
    return out + ", \"metadata\": " + e.metadata + "}";
}

} // namespace importer
