#include "entry/event/metadata.hpp"

#include "pg/numeric.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/jsonb.h"
}

namespace shadow::entry
{

namespace
{

// The layout is that of utils/jsonb.h: a header, one JEntry per key and per value, then the data; numbers and
// structures are aligned to four bytes within the data. Words are copied, as a short varlena has no
// alignment.
std::uint32_t word_at(const char *p) noexcept
{
    std::uint32_t w;
    std::memcpy(&w, p, sizeof w);
    return w;
}

// The keys of an object as they lie there, and which they are: most objects have the keys of one shortly before.
class key_shape
{
public:
    static constexpr std::uint32_t most_keys = 16; // none of their entries but the first holds an offset
    static constexpr std::uint32_t most_bytes = 256;

    // The keys of an object of at most most_keys keys whose names take so many bytes.
    static const metadata_key *keys_of(std::uint32_t count, const char *entries, const char *names,
                                       std::uint32_t bytes) noexcept
    {
        static key_shape shapes[64];
        key_shape &shape = shapes[(count * 5 + bytes) % std::size(shapes)];
        if (!shape.is(count, entries, names, bytes))
            shape.take(count, entries, names, bytes);
        return shape.keys_;
    }

private:
    // Entries that are equal have the same lengths.
    bool is(std::uint32_t count, const char *entries, const char *names, std::uint32_t bytes) const noexcept
    {
        return count_ == count && bytes_ == bytes &&
               std::memcmp(entries_, entries, count * sizeof(JEntry)) == 0 &&
               std::memcmp(names_, names, bytes) == 0;
    }
    void take(std::uint32_t count, const char *entries, const char *names, std::uint32_t bytes) noexcept
    {
        count_ = bytes <= most_bytes ? count : 0; // 0: of no object
        bytes_ = bytes;
        std::memcpy(entries_, entries, count * sizeof(JEntry));
        std::memcpy(names_, names, Min(bytes, most_bytes));
        for (std::uint32_t i = 0; i < count; ++i) {
            std::uint32_t const length = word_at(entries + i * sizeof(JEntry)) & JENTRY_OFFLENMASK;
            keys_[i] = find_metadata_key({names, length});
            names += length;
        }
    }

    std::uint32_t count_, bytes_;
    char entries_[most_keys * sizeof(JEntry)];
    char names_[most_bytes];
    metadata_key keys_[most_keys];
};

class object_reader
{
public:
    explicit object_reader(const char *container) noexcept
        : entries_(container + sizeof(std::uint32_t)), header_(word_at(container))
    {
    }
    bool is_object() const noexcept { return (header_ & JB_FOBJECT) != 0; }

    void read(metadata &out) const noexcept
    {
        std::uint32_t const n = header_ & JB_CMASK;
        if (n <= key_shape::most_keys)
            read_few(n, out);
        else
            read_many(n, out);
    }

    json_value find(std::string_view key) const noexcept
    {
        std::uint32_t const n = header_ & JB_CMASK;
        const char *const data = entries_ + std::size_t{2} * n * sizeof(JEntry);
        std::uint32_t offset = 0;
        for (std::uint32_t i = 0; i < n; ++i) {
            std::uint32_t const end = end_of(i, offset);
            if (std::string_view(data + offset, end - offset) == key) {
                std::uint32_t const start = offset_of(n + i);
                return value_of(entry_at(n + i), data, start, end_of(n + i, start));
            }
            offset = end;
        }
        return {json_type::null, false, nullptr, {}};
    }

private:
    void read_few(std::uint32_t n, metadata &out) const noexcept
    {
        if (n == 0)
            return;
        const char *const data = entries_ + std::size_t{2} * n * sizeof(JEntry);
        std::uint32_t offset = 0;
        for (std::uint32_t i = 0; i < n; ++i)
            offset += entry_at(i) & JENTRY_OFFLENMASK;
        const metadata_key *const keys = key_shape::keys_of(n, entries_, data, offset);
        for (std::uint32_t i = 0; i < n; ++i) {
            std::uint32_t const end = end_of(n + i, offset);
            if (keys[i] != metadata_key::none)
                out.set(keys[i], value_of(entry_at(n + i), data, offset, end));
            offset = end;
        }
    }
    void read_many(std::uint32_t n, metadata &out) const noexcept
    {
        const char *const data = entries_ + std::size_t{2} * n * sizeof(JEntry);
        metadata_key keys_on_stack[64];
        // Keys come first, then the values in the same order.
        for (std::uint32_t first = 0; first < n; first += lengthof(keys_on_stack)) {
            std::uint32_t const count = Min(n - first, static_cast<std::uint32_t>(lengthof(keys_on_stack)));
            std::uint32_t offset = offset_of(first);
            for (std::uint32_t i = 0; i < count; ++i) {
                std::uint32_t const end = end_of(first + i, offset);
                keys_on_stack[i] = find_metadata_key({data + offset, end - offset});
                offset = end;
            }
            if (count != n)
                offset = offset_of(n + first);
            for (std::uint32_t i = 0; i < count; ++i) {
                std::uint32_t const entry = entry_at(n + first + i);
                std::uint32_t const end = end_of(n + first + i, offset);
                if (keys_on_stack[i] != metadata_key::none)
                    out.set(keys_on_stack[i], value_of(entry, data, offset, end));
                offset = end;
            }
        }
    }
    std::uint32_t entry_at(std::uint32_t i) const noexcept { return word_at(entries_ + i * sizeof(JEntry)); }
    // Every JB_OFFSET_STRIDE-th entry holds the end of its data, the others their length.
    std::uint32_t end_of(std::uint32_t i, std::uint32_t start) const noexcept
    {
        std::uint32_t const entry = entry_at(i);
        return JBE_HAS_OFF(entry) ? JBE_OFFLENFLD(entry) : start + JBE_OFFLENFLD(entry);
    }
    std::uint32_t offset_of(std::uint32_t i) const noexcept
    {
        std::uint32_t first = i;
        while (first > 0 && !JBE_HAS_OFF(entry_at(first - 1)))
            --first;
        std::uint32_t offset = first > 0 ? JBE_OFFLENFLD(entry_at(first - 1)) : 0;
        for (; first < i; ++first)
            offset += JBE_OFFLENFLD(entry_at(first));
        return offset;
    }
    static json_value value_of(std::uint32_t entry, const char *data, std::uint32_t start,
                               std::uint32_t end) noexcept
    {
        if (JBE_ISSTRING(entry))
            return {json_type::string, false, nullptr, {data + start, end - start}};
        if (JBE_ISNUMERIC(entry))
            return {json_type::number, false, data + INTALIGN(start), {}};
        if (JBE_ISBOOL(entry))
            return {json_type::boolean, static_cast<bool>(JBE_ISBOOL_TRUE(entry)), nullptr, {}};
        if (JBE_ISNULL(entry))
            return {json_type::null, false, nullptr, {}};
        const char *const container = data + INTALIGN(start);
        bool const is_object = (word_at(container) & JB_FOBJECT) != 0;
        return {is_object ? json_type::object : json_type::array,
                false,
                container,
                {container, end - INTALIGN(start)}};
    }

    const char *entries_;
    std::uint32_t header_;
};

class jsonb_reader final : public json_host
{
public:
    bool to_scaled(const json_value &number, int scale, int128 &out) const noexcept override
    {
        return pg::numeric_view(number.host).to_scaled(scale, out);
    }
    bool is_whole(const json_value &number) const noexcept override
    {
        return pg::numeric_view(number.host).needed_scale() == 0;
    }
    std::string_view to_text(const json_value &number, char *buffer,
                             std::size_t capacity) const noexcept override
    {
        return pg::numeric_view(number.host).to_text(buffer, capacity);
    }
    void read_object(const json_value &object, metadata &out) const noexcept override
    {
        object_reader(static_cast<const char *>(object.host)).read(out);
    }
};

} // namespace

const json_host &jsonb_host() noexcept
{
    static const jsonb_reader host;
    return host;
}

void read_metadata(const void *varlena, metadata &out) noexcept
{
    object_reader const reader(VARDATA_ANY(varlena));
    if (reader.is_object())
        reader.read(out);
}

json_value find_metadata_value(const void *varlena, std::string_view key) noexcept
{
    object_reader const reader(VARDATA_ANY(varlena));
    return reader.is_object() ? reader.find(key) : json_value{json_type::null, false, nullptr, {}};
}

std::size_t clip_text(const char *text, std::size_t length, int characters)
{
    return static_cast<std::size_t>(pg_mbcharcliplen(text, static_cast<int>(length), characters));
}

} // namespace shadow::entry
