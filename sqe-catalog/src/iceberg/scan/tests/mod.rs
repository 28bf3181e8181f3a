mod evolution;
mod lake;
mod parts;
mod python;
mod random;
mod wire;
