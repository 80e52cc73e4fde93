#include "mapping.hpp"

#include "core/event/event_type.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace importer
{

value *draft::expand(value *v)
{
    if (v == nullptr || v->type != kind::text || v->text.empty() ||
        (v->text.front() != '{' && v->text.front() != '['))
        return v;
    value parsed;
    if (!parser_.parse_copy(v->text, r_.tree, parsed))
        return v;
    v->type = parsed.type;
    v->first = parsed.first;
    v->text = {};
    return v;
}

value *draft::child(value &from, std::string_view key)
{
    expand(&from);
    if (from.type != kind::array)
        return from.find(key);
    if (key.empty() || key.size() > 4 || key.find_first_not_of("0123456789") != std::string_view::npos)
        return nullptr;
    value *v = from.first;
    for (int i = std::stoi(std::string(key)); i > 0 && v != nullptr; --i)
        v = v->next;
    return v;
}

value *draft::find_in(value &from, std::string_view path)
{
    if (value *const whole = child(from, path))
        return whole;
    for (std::size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', dot + 1))
        if (value *const first = child(from, path.substr(0, dot)))
            if (value *const rest = find_in(*first, path.substr(dot + 1)))
                return rest;
    return nullptr;
}

void draft::add(std::string_view key, const value *v)
{
    if (v == nullptr || v->is_empty())
        return;
    value *const copy = r_.tree.make(v->type, v->text);
    copy->truth = v->truth;
    copy->first = v->first;
    copy->key = r_.tree.keep(key);
    copy->next = additions;
    additions = copy;
}

void draft::add_text(std::string_view key, std::string_view text)
{
    add(key, r_.tree.make(kind::text, r_.tree.keep(text)));
}

void set_event_type(mapping &m, const std::string &name, const std::string &type)
{
    if (!shadow::find_event_type(type)) {
        std::string known;
        for (auto const t : shadow::event_type_names)
            known += (known.empty() ? "" : " ") + std::string(t);
        throw std::runtime_error("unknown event type \"" + type + "\"; there are: " + known);
    }
    m.user_types[name] = type;
}

namespace
{

// Reads a mapping file into a mapping; errors name the key.
class file_reader
{
public:
    file_reader(const std::string &name, mapping &m) : name_(name), m_(m) {}
    void read();

private:
    void apply(const value &v);
    void read_columns(const value &v);
    paths read_paths(const value &v);
    std::string read_text(const value &v);
    std::vector<std::string> read_texts(const value &v);
    [[noreturn]] void fail(const std::string &what) const
    {
        throw std::runtime_error("mapping file " + name_ + ": " + what);
    }

    const std::string &name_;
    mapping &m_;
};

std::string file_reader::read_text(const value &v)
{
    if (v.type != kind::text)
        fail("\"" + std::string(v.key) + "\" must be a text");
    return std::string(v.text);
}

std::vector<std::string> file_reader::read_texts(const value &v)
{
    std::vector<std::string> texts;
    if (v.type != kind::array)
        fail("\"" + std::string(v.key) + "\" must be an array of texts");
    for (const value *e = v.first; e != nullptr; e = e->next)
        texts.push_back(read_text(*e));
    return texts;
}

paths file_reader::read_paths(const value &v)
{
    return v.type == kind::array ? read_texts(v) : paths{read_text(v)};
}

void file_reader::read_columns(const value &v)
{
    struct column {
        const char *name;
        paths mapping::*where;
    };
    static constexpr column columns[] = {
        {"id", &mapping::id},
        {"workspace_id", &mapping::workspace_id},
        {"created_at", &mapping::created_at},
        {"user_id", &mapping::user_id},
        {"session_id", &mapping::session_id},
        {"event_type", &mapping::event_type},
        {"event_name", &mapping::event_name},
        {"page_path", &mapping::page},
        {"ip_address", &mapping::ip_address},
        {"user_agent", &mapping::user_agent},
        {"referrer", &mapping::referrer},
    };
    for (const value *c = v.first; c != nullptr; c = c->next) {
        auto const *const known = std::find_if(std::begin(columns), std::end(columns),
                                               [&](const column &k) { return c->key == k.name; });
        if (known == std::end(columns))
            fail("\"" + std::string(c->key) + "\" is no column of analytics.user_activity");
        m_.*known->where = read_paths(*c);
    }
}

void file_reader::apply(const value &v)
{
    if (v.key == "columns") {
        read_columns(v);
    } else if (v.key == "metadata") {
        for (const value *k = v.first; k != nullptr; k = k->next)
            m_.metadata.emplace_back(k->key, read_paths(*k));
    } else if (v.key == "event_types") {
        for (const value *t = v.first; t != nullptr; t = t->next)
            set_event_type(m_, std::string(t->key), read_text(*t));
    } else if (v.key == "roots") {
        m_.roots = read_texts(v);
    } else if (v.key == "drop") {
        for (std::string &key : read_texts(v))
            m_.dropped.push_back(std::move(key));
    } else if (v.key == "keep_rest") {
        m_.keeps_rest = v.truth;
    } else if (v.key == "time_zone") {
        m_.time_zone = read_text(v);
    } else if (v.key == "encoding") {
        m_.container.encoding = read_text(v);
    } else if (v.key == "header") {
        m_.container.header = read_texts(v);
    } else if (v.key == "delimiter") {
        std::string const text = read_text(v);
        if (text.size() != 1)
            fail("\"delimiter\" must be one character");
        m_.container.delimiter = text[0];
    } else {
        fail("unknown key \"" + std::string(v.key) + "\"");
    }
}

void file_reader::read()
{
    std::ifstream file(name_, std::ios::binary);
    std::stringstream text;
    if (!file || !(text << file.rdbuf()))
        throw std::runtime_error("cannot read the mapping file " + name_);
    json_parser parser;
    document d;
    if (!parser.parse_copy(text.str(), d, d.root) || d.root.type != kind::object)
        fail(d.root.type == kind::array ? "must be a JSON object" : parser.problem());
    for (const value *v = d.root.first; v != nullptr; v = v->next)
        apply(*v);
}

} // namespace

void read_mapping_file(const std::string &file, mapping &m)
{
    file_reader(file, m).read();
}

} // namespace importer
