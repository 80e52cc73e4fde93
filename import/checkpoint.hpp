#pragma once
// How far an import is, in a file: what a later run of the same import need not do again.

#include "batch.hpp"

namespace importer
{

struct checkpoint {
    std::size_t source = 0;    // files that are done
    std::uint64_t record = 0;  // records of the next one that are done
    std::uint64_t rejects = 0; // length of the file of rejects
    counts counted;            // without the reasons
};

class checkpoint_file
{
public:
    // identity: what distinguishes this import from others. path empty: nothing is noted.
    checkpoint_file(std::string path, std::string identity);
    // Throws std::runtime_error if the file is another import's.
    bool read(checkpoint &c) const;
    void write(const checkpoint &c) const;
    void remove() const;

private:
    std::string path_, identity_;
};

} // namespace importer
