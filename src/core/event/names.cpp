#include "core/event/names.hpp"

#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>

#include <string>

namespace shadow
{

uuid id_of(const uuid &space, std::string_view what, std::string_view text)
{
    if (auto const id = parse_uuid(text))
        return *id;
    boost::uuids::uuid name_space;
    space.to_bytes(name_space.data);
    std::string name;
    name.reserve(what.size() + 1 + text.size());
    name.append(what).append(1, ':').append(text);
    boost::uuids::uuid const id = boost::uuids::name_generator_sha1(name_space)(name.data(), name.size());
    return uuid::from_bytes(id.data);
}

} // namespace shadow
